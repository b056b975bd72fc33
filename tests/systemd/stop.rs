//! The end of the service: idle sessions end at once, others when their requests are done.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        an_idle_session_does_not_hold_it_up,
        an_open_request_may_take_longer_than_systemd_would_wait,
        a_stop_during_the_start_is_clean,
    ]
}

fn an_idle_session_does_not_hold_it_up() {
    let machine = Machine::with_shibudb();
    machine.drop_in("[Service]\nTimeoutStopSec=5s");
    let mut idle = machine.connect(9090).unwrap();
    // The kernel completes a connect before the server accepts it.
    eventually("it has its place", || {
        machine.sh("shibudb manager 9090 status").contains("Active Connections: 1").then_some(())
    });
    machine.sh("systemctl stop shibudb");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    has_ended_well(&machine);
}

fn an_open_request_may_take_longer_than_systemd_would_wait() {
    let machine = Machine::with_shibudb();
    machine.drop_in("[Service]\nTimeoutStopSec=3s");
    machine.sh("systemctl restart shibudb");
    let mut slow = with_answers_under_way(&machine);
    machine.sh("systemctl stop --no-block shibudb");
    eventually("it drains", || {
        (machine.property("StatusText") == "draining: 1 connection left").then_some(())
    });
    // Twice what the unit allows; the server has asked for more.
    machine.sh("sleep 6");
    assert_eq!(machine.property("ActiveState"), "deactivating");
    assert_eq!(machine.property("SubState"), "stop-sigterm");
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with('\n'));
    eventually("it has ended", || (machine.property("ActiveState") == "inactive").then_some(()));
    has_ended_well(&machine);
}

fn a_stop_during_the_start_is_clean() {
    let machine = Machine::with_shibudb();
    for _ in 0..5 {
        machine.sh("systemctl restart --no-block shibudb; systemctl stop shibudb");
        assert_eq!(machine.property("ActiveState"), "inactive");
        assert_eq!(machine.property("Result"), "success");
        machine.sh("systemctl start shibudb");
    }
}

fn has_ended_well(machine: &Machine) {
    let ended =
        ["ActiveState", "Result", "ExecMainCode", "ExecMainStatus"].map(|name| machine.property(name));
    assert_eq!(ended, ["inactive", "success", "1", "0"], "{}", machine.journal());
}

/// A client that has requested more than the sockets' buffers hold, and does not read it yet.
fn with_answers_under_way(machine: &Machine) -> BufReader<TcpStream> {
    let password = machine.sh("cat /var/lib/shibudb/initial-admin-password");
    let mut client = BufReader::new(machine.connect(9090).unwrap());
    let mut ask = |request: Value| {
        writeln!(client.get_mut(), "{request}").unwrap();
        let mut answer = String::new();
        client.read_line(&mut answer).unwrap();
        assert!(answer.contains("\"OK\""), "{answer}");
    };
    ask(json!({"username": "admin", "password": password}));
    ask(json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"}));
    ask(json!({"type": "PUT", "space": "s", "key": "k", "value": "v".repeat(500_000)}));
    let get = json!({"type": "GET", "space": "s", "key": "k"}).to_string() + "\n";
    client.get_mut().write_all(get.repeat(60).as_bytes()).unwrap();
    // The first byte of the first answer: the server is answering.
    client.fill_buf().unwrap();
    client
}
