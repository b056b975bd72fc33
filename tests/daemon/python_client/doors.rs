//! 200 connections stay open and active while the limit is changed through each door.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::Value;

use crate::harness::{PASSWORD, Server, Setup, Signal, refused, wait_until};
use crate::venv;

const HELD: u64 = 200;
const TOO_LOW: &str = "cannot set limit to 150 when 200 connections are active";

/// The Python program that holds the connections.
struct Holder {
    program: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Holder {
    /// Opens all connections.
    fn start(server: &Server) -> Option<Self> {
        let mut python = venv::python("hold.py")?;
        python.args([&server.port().to_string(), PASSWORD, &HELD.to_string()]);
        let mut program = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = program.stdin.take().unwrap();
        let answers = BufReader::new(program.stdout.take().unwrap());
        let mut holder = Self { program, orders, answers };
        assert_eq!(holder.answer(), "open");
        assert_eq!(server.active(), HELD);
        Some(holder)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Every connection is still the original one, and works.
    #[track_caller]
    fn expect_all_at_work(&mut self) {
        self.orders.write_all(b"\n").unwrap();
        assert_eq!(self.answer(), HELD.to_string());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

/// The last attempt to change the limit: door, old, new, outcome.
fn last_change(server: &Server) -> (String, u64, u64, String) {
    let change = &server.get("/history?limit=1").json()["changes"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let number = |value: &Value| value.as_u64().unwrap();
    (text(&change["door"]), number(&change["old"]), number(&change["new"]), text(&change["outcome"]))
}

#[track_caller]
fn expect_last(server: &Server, door: &str, old: u64, new: u64, outcome: &str) {
    let wanted = (door.to_owned(), old, new, outcome.to_owned());
    wait_until(&format!("the last change is {wanted:?}"), || last_change(server) == wanted);
    assert_eq!(server.limit(), if outcome == "applied" { new } else { old });
    assert_eq!(server.active(), HELD);
}

#[test]
fn open_connections_notice_nothing_of_a_moving_limit() {
    let server = Setup::new().config("max_connections = 300\n").start();
    let Some(mut held) = Holder::start(&server) else { return };
    through_http(&server, &mut held);
    through_the_command_line(&server, &mut held);
    through_signals(&server, &mut held);
    through_the_config_file(&server, &mut held);

    // The limit is 250, and exactly that many are admitted.
    let more: Vec<_> = (HELD..250).map(|_| server.admin()).collect();
    let told = server.connect().line().unwrap();
    assert!(told.contains("Server at maximum capacity (250 connections)"), "{told}");
    drop(more);
    held.expect_all_at_work();
    drop(held);
    server.wait_until_active(0);
}

fn through_http(server: &Server, held: &mut Holder) {
    let reply = server.put("/limit", r#"{"limit":150}"#);
    assert_eq!((reply.status, reply.error().as_str()), (409, TOO_LOW));
    expect_last(server, "http", 300, 150, "refused");
    held.expect_all_at_work();
    assert_eq!(server.put("/limit", r#"{"limit":250}"#).status, 200);
    expect_last(server, "http", 300, 250, "applied");
    assert_eq!(server.post("/limit/increase", r#"{"amount":100}"#).status, 200);
    expect_last(server, "http", 250, 350, "applied");
    assert_eq!(server.post("/limit/decrease", r#"{"amount":100}"#).status, 200);
    expect_last(server, "http", 350, 250, "applied");
    held.expect_all_at_work();
}

fn through_the_command_line(server: &Server, held: &mut Holder) {
    let says = |words: &str, answer: &str| {
        let output = server.manager(words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer);
    };
    assert_eq!(refused(&server.manager("limit 150"), 1), format!("Error: {TOO_LOW}\n"));
    expect_last(server, "cli", 250, 150, "refused");
    held.expect_all_at_work();
    says("increase 100", "Connection limit increased from 250 to 350\n");
    expect_last(server, "cli", 250, 350, "applied");
    says("decrease 100", "Connection limit decreased from 350 to 250\n");
    expect_last(server, "cli", 350, 250, "applied");
    says("limit 250", "Connection limit updated to 250\n");
    held.expect_all_at_work();
}

fn through_signals(server: &Server, held: &mut Holder) {
    server.signal(Signal::USR2);
    expect_last(server, "signal", 250, 150, "refused");
    held.expect_all_at_work();
    server.signal(Signal::USR1);
    expect_last(server, "signal", 250, 350, "applied");
    server.signal(Signal::USR2);
    expect_last(server, "signal", 350, 250, "applied");
    held.expect_all_at_work();
}

fn through_the_config_file(server: &Server, held: &mut Holder) {
    server.write_config("max_connections = 150\n");
    expect_last(server, "config", 250, 150, "refused");
    let status = String::from_utf8(server.manager("status").stdout).unwrap();
    assert_eq!(
        status,
        "Connection Status:\nCurrent Limit: 250\nActive Connections: 200\n\
         Configured Limit: 150 (refused: 200 connections are active)\n\
         Waiting: 150 is applied once at most 150 connections are active, unless the limit is set first\n"
    );
    held.expect_all_at_work();
    server.write_config("max_connections = 350\n");
    expect_last(server, "config", 250, 350, "applied");
    server.write_config("max_connections = 250\n");
    expect_last(server, "config", 350, 250, "applied");
    held.expect_all_at_work();
}
