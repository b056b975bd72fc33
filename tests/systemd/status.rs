//! What `systemctl status` shows.

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![the_status_shows_the_usage, a_refused_reload_shows_its_reason]
}

fn the_status_shows_the_usage() {
    let machine = Machine::with_shibudb();
    assert_eq!(machine.property("StatusText"), "0/1000 connections (0.0 %)");
    let _clients = Vec::from_iter((0..45).map(|_| machine.connect(9090).unwrap()));
    eventually("the usage is shown", || {
        (machine.property("StatusText") == "45/1000 connections (4.5 %)").then_some(())
    });
    let status = machine.sh("systemctl status shibudb");
    assert!(status.contains("Status: \"45/1000 connections (4.5 %)\""), "{status}");
}

/// `systemctl reload` would fail before the server reads such a file; a signal makes the server read it.
fn a_refused_reload_shows_its_reason() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'broken = 1' >>/etc/shibudb/shibudb.toml && systemctl kill --signal=HUP shibudb");
    eventually("the reason is shown", || {
        let status = machine.property("StatusText");
        (status.contains("config not applied") && status.contains("broken")).then_some(())
    });
    eventually("it is not reloading", || (machine.property("SubState") == "running").then_some(()));
}
