//! The drain: requests in progress may finish, and the server requests the time from systemd.

use std::io::{BufReader, Read};
use std::time::Duration;

use serde_json::json;

use crate::harness::ears::Ears;
use crate::harness::{Client, Server, Setup, Signal};

const VALUE: usize = 500_000;
const ANSWERS: usize = 60;

#[test]
fn an_open_request_finishes_while_systemd_is_asked_for_time() {
    let ears = Ears::new();
    let mut server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let mut idle = server.admin();
    let slow = at_work(&server);

    server.signal(Signal::TERM);
    let stopping = ears.hear("STOPPING=1", |message| message.has("STOPPING"));
    assert!(stopping.get("STATUS").unwrap().starts_with("draining: "), "{stopping:?}");
    // At once, although another connection is still busy.
    idle.expect_end();
    ears.hear("draining", |message| message.get("STATUS") == Some("draining: 1 connection left"));
    for _ in 0..2 {
        let more = ears.hear("EXTEND_TIMEOUT_USEC", |message| message.has("EXTEND_TIMEOUT_USEC"));
        let more = more.get("EXTEND_TIMEOUT_USEC").unwrap().parse().unwrap();
        assert!(Duration::from_micros(more) >= Duration::from_secs(10));
    }
    // Requests sent by then are answered; the server decides about the rest.
    let answers = read_all(slow);
    assert!(answers.ends_with('\n') && answers.len() > VALUE, "{} bytes", answers.len());
    assert!(server.wait().success());
    server.wait_for_log("all connections finished");
}

#[test]
fn signals_and_edits_are_heard_until_it_is_over() {
    let ears = Ears::new();
    let config = "[shutdown]\ndrain_timeout = \"1h\"\n";
    let mut server = ears.of(Setup::new().config(config)).start();
    let _slow = at_work(&server);
    server.signal(Signal::TERM);
    ears.hear("STOPPING=1", |message| message.has("STOPPING"));

    server.signal(Signal::USR1);
    server.wait_until_limit(1100);
    server.signal(Signal::USR2);
    server.wait_until_limit(1000);
    server.signal(Signal::HUP);
    server.wait_for_log("config file read again");
    // An hour has not passed, but a millisecond has.
    server.write_config(config.replace("1h", "1ms"));
    assert!(server.wait().success());
    server.wait_for_log("closed 1 connections that did not finish within 1ms");
}

/// A connection with requests in progress, which are not done until the answers are read.
fn at_work(server: &Server) -> Client {
    let mut slow = server.admin();
    let space = json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"});
    slow.expect_ok(&space, "SPACE_CREATED");
    slow.expect_ok(&json!({"type": "PUT", "space": "s", "key": "k", "value": "v".repeat(VALUE)}), "OK");
    // More than the sockets' buffers hold, so they stay in progress until they are read.
    slow.send(format!("{}\n", json!({"type": "GET", "space": "s", "key": "k"})).repeat(ANSWERS));
    let mut begun = [0; 1];
    slow.stream.read_exact(&mut begun).unwrap();
    slow
}

fn read_all(client: Client) -> String {
    let mut text = String::new();
    BufReader::new(client.stream).read_to_string(&mut text).unwrap();
    text
}
