//! More clients than descriptors, all of which stay connected.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shibudb::management::ConnectionSlots;
use shibudb::store::MOST_FILES;

use super::processor_use;
use crate::alone;
use crate::harness::{Server, Setup, Times, wait_until, within};

const CLIENTS: usize = 200;
/// The time limit for answers of the management API.
const BOUND: Duration = Duration::from_millis(50);

const BEGINNING: &str = "cannot accept connections for now";
const END: &str = "accepting connections again";

#[test]
fn with_64_descriptors_and_200_clients_the_operator_is_heard_and_so_is_everybody_else() {
    let _alone = alone();
    let server = Setup::new().open_files(64).config("[client]\nlogin_timeout = \"10m\"\n").start();
    let limit = server.limit();
    // A client that works during the flood.
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
    let log = server.log();
    let [beginnings, ends] = [BEGINNING, END].map(|words| log.matches(words).count());
    println!(
        "ulimit -n 64, {CLIENTS} clients: a limit of {limit}, {told} told that it is full; {busy:.2} % of a \
         processor, log lines of a shortage: {beginnings} at its beginning, {ends} at its end"
    );
    within("the slowest answer of management", times.percentile(100), BOUND);
    within("back to normal", back, Duration::from_secs(1));
    // CPU usage in percent of one processor: a server that retries in a loop uses nearly all of one.
    assert!(busy < 10.0, "{busy} % while nothing can be done");
    assert_eq!(told, CLIENTS - usize::try_from(limit - 1).unwrap(), "all that found no place are told");
    assert_eq!((beginnings, ends), (0, 0), "those who linger make room: {log}");
}

#[test]
fn with_64_descriptors_a_flood_on_management_takes_none_of_clients_or_the_store() {
    let _alone = alone();
    let server = Setup::new().open_files(64).config("[client]\nlogin_timeout = \"10m\"\n").start();
    let limit = server.limit();
    let own = open_files(&server);
    let mut flood: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.management_port())).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream.set_read_timeout(Some(crate::harness::MAX_WAIT)).unwrap();
            stream
        })
        .collect();
    assert!(flood[0].read(&mut [0; 15]).unwrap() > 0, "the first of them is answered");

    let mut inside = server.admin();
    let clients: Vec<_> = (1..limit).map(|_| server.admin()).collect();
    let space = serde_json::json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"});
    inside.expect_ok(&space, "SPACE_CREATED");
    inside.expect_ok(&serde_json::json!({"type": "PUT", "space": "s", "key": "k", "value": "v"}), "OK");
    let held = open_files(&server) - own - usize::try_from(limit).unwrap();
    println!(
        "ulimit -n 64: {own} files of its own, {limit} clients and a store that work, {held} files for 200 \
         connections to management"
    );
    assert!(!server.log().contains(BEGINNING), "{}", server.log());
    assert!(!server.log().contains("the management API cannot accept"), "{}", server.log());

    drop((flood, clients));
    assert_eq!(server.get("/stats").status, 200);
}

#[test]
fn what_is_kept_for_the_process_itself_is_enough() {
    const LIMIT: u32 = 1024;
    // Under systemd there are five sockets of the journal and one for notifications, and `start` adds a file.
    const NOT_HERE: usize = 7;
    let _alone = alone();
    let measure = |name: &str, config: &str, write: bool| {
        let server = Setup::new().open_files(LIMIT).config(config).start();
        if write {
            let mut admin = server.admin();
            let space = serde_json::json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"});
            admin.expect_ok(&space, "SPACE_CREATED");
            for number in 0..20 {
                let space = serde_json::json!({"type": "CREATE_SPACE", "space": format!("s{number}")});
                admin.expect_ok(&space, "SPACE_CREATED");
                let value = format!("{number}").repeat(200_000);
                let put = serde_json::json!({"type": "PUT", "space": "s", "key": number.to_string(), "value": value});
                admin.expect_ok(&put, "OK");
            }
            drop(admin);
            server.wait_until_active(0);
        }
        let ceiling = server.get("/config").json()["limit"]["ceiling"].as_u64().unwrap();
        let reserve = usize::try_from(u64::from(LIMIT) - ceiling).unwrap();
        let kept = reserve - ConnectionSlots::default().all() - MOST_FILES;
        // The connection that requested the ceiling may still be open.
        let open = open_files(&server) - inherited(&server);
        println!(
            "{name}: {open} files open, and {kept} kept for the process beside {MOST_FILES} for the store"
        );
        assert!(open + NOT_HERE <= kept, "{name}: {open} of {kept}");
    };
    measure("as it comes", "# no settings\n", false);
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("[management]\nsocket = {:?}\n", dir.path().join("management.sock"));
    measure("with a Unix socket", &socket, false);
    measure("with 21 spaces and 4 MB", &socket, true);
}

/// The number of files, besides the standard streams, that it has inherited from this process.
fn inherited(server: &Server) -> usize {
    let links = |pid: &str| -> Vec<(String, PathBuf)> {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
        let named = files.map(|file| (file.file_name().into_string().unwrap(), fs::read_link(file.path())));
        named.filter_map(|(number, link)| Some((number, link.ok()?))).collect()
    };
    let ours: HashSet<_> = links("self").into_iter().collect();
    let is_stream = |number: &str| ["0", "1", "2"].contains(&number);
    // Anonymous inodes of the kernel have the same name everywhere.
    let is_anonymous = |link: &PathBuf| link.to_string_lossy().starts_with("anon_inode:");
    links(&server.pid().to_string())
        .into_iter()
        .filter(|file| !is_stream(&file.0) && !is_anonymous(&file.1) && ours.contains(file))
        .count()
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}
