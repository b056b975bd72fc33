//! The listening sockets: kept over a restart, or held by systemd from the start.

use std::io::ErrorKind;

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};
use crate::storm::storm;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        no_connect_is_refused_during_a_restart,
        no_connect_is_refused_after_a_crash,
        another_port_in_the_config_closes_the_old_one,
        the_first_connection_starts_a_service_with_a_socket_unit,
        no_connect_is_refused_with_a_socket_unit,
    ]
}

fn no_connect_is_refused_during_a_restart() {
    let machine = Machine::with_shibudb();
    storm(&machine, |tally| {
        for _ in 0..3 {
            tally.await_answer();
            machine.sh("systemctl restart shibudb");
        }
        tally.await_answer();
    })
    .assert_none_failed();
}

fn no_connect_is_refused_after_a_crash() {
    let machine = Machine::with_shibudb();
    storm(&machine, |tally| {
        tally.await_answer();
        let before = machine.property("MainPID");
        machine.sh("systemctl kill --signal=KILL shibudb");
        eventually("it has been restarted", || {
            (machine.property("NRestarts") == "1" && machine.property("MainPID") != before).then_some(())
        });
        tally.await_answer();
    })
    .assert_none_failed();
}

fn another_port_in_the_config_closes_the_old_one() {
    let machine = Machine::with_shibudb();
    assert_eq!(machine.property("NFileDescriptorStore"), "2");
    machine.sh(
        "sed -i 's/^#* *port = 9090.*/port = 7070/' /etc/shibudb/shibudb.toml && systemctl restart shibudb",
    );
    machine.connect(7070).unwrap();
    machine.connect(8070).unwrap();
    for old in [9090, 10090] {
        let error = machine.connect(old).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{old}");
    }
    // The old ones are not kept beside the new ones.
    assert_eq!(machine.property("NFileDescriptorStore"), "2");
}

fn the_first_connection_starts_a_service_with_a_socket_unit() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb && systemctl enable --now shibudb.socket");
    assert_eq!(machine.property("ActiveState"), "inactive");
    let _client = machine.connect(9090).unwrap();
    eventually("the service runs", || (machine.property("ActiveState") == "active").then_some(()));
}

fn no_connect_is_refused_with_a_socket_unit() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb && systemctl enable --now shibudb.socket");
    storm(&machine, |tally| {
        tally.await_answer();
        machine.sh("systemctl restart shibudb");
        tally.await_answer();
    })
    .assert_none_failed();
}
