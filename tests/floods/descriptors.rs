//! More clients than there are descriptors for, all of them staying.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Setup, wait_until};
use crate::{Times, alone, processor_use};

const CLIENTS: usize = 200;
const BOUND: Duration = Duration::from_millis(50);

const BEGINNING: &str = "cannot accept connections for now";
const END: &str = "connections are accepted again";

#[test]
fn with_64_descriptors_and_200_clients_the_operator_is_heard() {
    let _alone = alone();
    let server = Setup::new().open_files(64).config("[client]\nlogin_timeout = \"10m\"\n").start();
    let limit = server.limit();
    // A worker that sits in the middle of it all.
    let mut inside = server.admin();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let stream = TcpStream::connect(server.address()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    server.wait_until_active(limit);
    let mut times = Times::default();
    for _ in 0..100 {
        assert_eq!(times.measure(|| server.get("/stats")).status, 200);
    }
    let busy = processor_use(&server, Duration::from_secs(3));
    let answer = inside.ask(&serde_json::json!({"type": "LIST_SPACES"}));
    assert_eq!(answer["status"], "OK");

    let told = clients.iter_mut().filter_map(|client| {
        let mut words = [0; 200];
        match client.read(&mut words) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            result => Some(result.unwrap()),
        }
    });
    let told = told.filter(|length| *length > 0).count();

    let freed = Instant::now();
    drop(clients);
    wait_until("somebody gets in again", || {
        let mut client = server.connect();
        client.send("{\"username\":\"nobody\",\"password\":\"x\"}\n");
        client.try_line().is_ok_and(|line| line.is_some_and(|line| line.contains("authentication failed")))
    });
    let back = freed.elapsed();
    server.wait_for_log(END);
    let log = server.log();
    let [beginnings, ends] = [BEGINNING, END].map(|words| log.matches(words).count());
    println!(
        "ulimit -n 64, {CLIENTS} clients: a limit of {limit}, {told} told that it is full; management answers \
         within {:.1?} at most, {busy:.2} % of a processor, back to normal after {back:.1?}, log lines of a \
         shortage: {beginnings} at its beginning, {ends} at its end",
        times.percentile(100),
    );
    assert!(times.percentile(100) < BOUND, "{:?}", times.percentile(100));
    assert!(busy < 1.0, "{busy} % while nothing can be done");
    assert!(back < Duration::from_secs(1), "back after {back:?}");
    assert_eq!((beginnings, ends), (1, 1), "{log}");
}
