//! A full server: every new client gets the message, and none is disconnected before it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;

use serde_json::json;

use crate::harness::{Client, Setup, Signal};

/// The number of rejected clients, and how many of them connect at the same time.
const CLIENTS: usize = 2_000;
const AT_ONCE: usize = 40;

const REJECTION: &str =
    r#"{"status":"ERROR","message":"Server at maximum capacity (3 connections). Please try again later."}"#;

#[test]
fn each_of_2000_that_send_their_login_at_once_reads_the_whole_rejection_and_then_the_end() {
    let server = Setup::new().limit(3).start();
    let mut inside: Vec<_> = (0..3).map(|_| server.admin()).collect();
    let login = format!("{}\n", json!({"username": "admin", "password": crate::harness::PASSWORD}));
    let together = Barrier::new(AT_ONCE);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                together.wait();
                for _ in 0..CLIENTS / AT_ONCE {
                    let mut stream = TcpStream::connect(server.address()).unwrap();
                    stream.set_read_timeout(Some(crate::harness::MAX_WAIT)).unwrap();
                    // The server may have closed the connection before this is sent: that case is tested.
                    stream.write_all(login.as_bytes()).unwrap();
                    let mut client = Client::of(stream);
                    assert_eq!(client.try_line().expect("no reset"), Some(REJECTION.to_owned()));
                    assert_eq!(client.try_line().expect("no reset"), None);
                }
            });
        }
    });
    // Connected clients are not affected.
    for client in &mut inside {
        assert_eq!(client.ask(&json!({"type": "GET_USER", "data": "admin"}))["status"], "OK");
    }
    assert_eq!(server.active(), 3);
}

#[test]
fn operators_are_heard_at_full_usage() {
    let server = Setup::new().limit(2).start();
    let _inside = [server.admin(), server.admin()];
    assert_eq!(server.connect().line().as_deref(), Some(REJECTION.replace('3', "2").as_str()));
    assert_eq!(
        server.get("/stats").body,
        r#"{"active_connections":2,"max_connections":2,"usage_percentage":100.0,"available_slots":0}"#
    );
    server.signal(Signal::USR1);
    server.wait_until_limit(102);
    server.admin();
}
