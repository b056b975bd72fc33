//! Starts, failures and restarts.

use libtest_mimic::Trial;
use serde_json::json;

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        a_client_can_connect_the_moment_start_returns,
        after_kill_9_it_is_restarted_and_nothing_is_lost,
        the_watchdog_restarts_one_that_hangs,
        a_wrong_config_fails_once_and_says_why,
    ]
}

fn a_client_can_connect_the_moment_start_returns() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb");
    machine.connect(9090).unwrap_err();
    machine.sh("systemctl start shibudb");
    machine.connect(9090).unwrap();
    assert_eq!(machine.property("ActiveState"), "active");
}

fn after_kill_9_it_is_restarted_and_nothing_is_lost() {
    let machine = Machine::with_shibudb();
    let password = machine.sh("cat /var/lib/shibudb/initial-admin-password");
    let login = json!({"username": "admin", "password": password});
    let space = json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"});
    let put = json!({"type": "PUT", "space": "s", "key": "k", "value": "kept"});
    assert!(machine.converse(&[login.clone(), space, put]).iter().all(|answer| answer["status"] == "OK"));
    machine.sh("shibudb manager 9090 limit 1234");

    let before = machine.property("MainPID");
    machine.sh("systemctl kill --signal=KILL shibudb");
    is_back(&machine, &before);

    let get = json!({"type": "GET", "space": "s", "key": "k"});
    assert_eq!(machine.converse(&[login, get])[1]["value"], "kept");
    assert!(machine.sh("shibudb manager 9090 status").contains("Current Limit: 1234"));
}

fn the_watchdog_restarts_one_that_hangs() {
    let machine = Machine::with_shibudb();
    machine.drop_in("[Service]\nWatchdogSec=1s");
    machine.sh("systemctl restart shibudb");
    let before = machine.property("MainPID");
    machine.sh("systemctl kill --kill-who=main --signal=STOP shibudb");
    is_back(&machine, &before);
    assert!(machine.journal().contains("Watchdog timeout"), "{}", machine.journal());
}

fn a_wrong_config_fails_once_and_says_why() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'broken = 1' >/etc/shibudb/shibudb.toml");
    assert_ne!(machine.run("systemctl restart shibudb").status, Some(0));
    // systemd has given up: a unit that waits for a restart would be `activating`.
    eventually("it has failed", || (machine.property("ActiveState") == "failed").then_some(()));
    assert_eq!(machine.property("NRestarts"), "0");
    assert_eq!(machine.property("ExecMainStatus"), "78");
    assert!(machine.journal().contains("broken"), "{}", machine.journal());
    // The sockets kept for the restart are closed, so no client waits for a server that does not start.
    machine.connect(9090).unwrap_err();
    machine.connect(10090).unwrap_err();
}

/// Waits until a new process runs the service, after exactly one restart.
fn is_back(machine: &Machine, before: &str) {
    eventually("it is running again", || {
        (machine.property("NRestarts") == "1" && machine.property("ActiveState") == "active").then_some(())
    });
    assert_ne!(machine.property("MainPID"), before);
    machine.connect(9090).unwrap();
}
