//! Live settings take effect while the server runs; the others wait for a restart, and are reported.

use std::time::Duration;

use serde_json::{Value, json};

use shibudb::config::Key;

use super::witness::{config, manager, said};
use crate::harness::{Client, Server, Setup, Signal, wait_until};

/// Writes this to the file, and waits until the server has noticed.
#[track_caller]
fn edit(server: &Server, text: &str) {
    let last_reload = config(server)["last_reload"]["time"].clone();
    server.write_config(text);
    wait_until("the edit is found", || config(server)["last_reload"]["time"] != last_reload);
    let last_reload = &config(server)["last_reload"];
    assert_eq!(last_reload["outcome"], "ok", "{last_reload}");
}

fn setting(server: &Server, key: &str) -> Value {
    let config = config(server);
    config["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
}

#[test]
fn the_step_of_the_signals_is_live() {
    let server = Setup::new().start();
    edit(&server, "[limits]\nsignal_step = 7\n");
    server.signal(Signal::USR1);
    server.wait_until_limit(1007);
    assert_eq!(server.post("/limit/decrease", "").json()["decrease_amount"], 7);
}

#[test]
fn the_warning_of_usage_is_live_and_comes_once() {
    let server = Setup::new().limit(10).config("[limits]\nwarn_percent = 100\n").start();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    server.wait_until_active(8);
    edit(&server, "[limits]\nwarn_percent = 80\n");
    server.wait_for_log("8 of 10 connections are in use, 80 % or more");
    clients.push(server.connect());
    clients.truncate(7);
    server.wait_until_active(7);
    server.wait_for_log("7 of 10 connections are in use, well below 80 % again");
    assert_eq!(said(&server, "% or more"), 1);
}

#[test]
fn whether_an_override_is_kept_is_live() {
    let server = Setup::new().start();
    let stored = server.data_dir().join("limit-override.json");
    server.set_limit(700);
    assert!(stored.exists());
    edit(&server, "[limits]\npersist = false\n");
    assert!(!stored.exists());
    server.set_limit(800);
    assert!(!stored.exists());
    edit(&server, "[limits]\npersist = true\n");
    assert!(stored.exists());
    assert_eq!(server.limit(), 800);
}

/// Connections that were opened before an edit, and one that is opened after it, end.
#[track_caller]
fn all_are_closed(server: &Server, connections: Vec<Client>) {
    for mut client in connections {
        while client.line().is_some_and(|line| !line.is_empty()) {}
    }
    server.wait_until_active(0);
}

#[test]
fn the_time_to_log_in_is_live_for_everybody() {
    let server = Setup::new().config("[client]\nlogin_timeout = \"10m\"\n").start();
    let before = server.connect();
    server.wait_until_active(1);
    edit(&server, "[client]\nlogin_timeout = \"200ms\"\n");
    all_are_closed(&server, vec![before, server.connect()]);
}

#[test]
fn the_time_to_be_idle_is_live_for_everybody() {
    let server = Setup::new().start();
    let before = server.admin();
    edit(&server, "[client]\nidle_timeout = \"200ms\"\n");
    all_are_closed(&server, vec![before, server.admin()]);
}

#[test]
fn the_report_says_of_every_key_what_an_edit_does_and_for_whom() {
    let server = Setup::new().start();
    let settings = config(&server)["settings"].clone();
    let said: Vec<_> = settings.as_array().unwrap().iter().collect();
    assert_eq!(said.len(), Key::ALL.len());
    for (key, setting) in Key::ALL.into_iter().zip(said) {
        assert_eq!(
            (&setting["key"], &setting["effect"]),
            (&key.name().into(), &key.effect().to_string().into())
        );
        assert_eq!(setting["live"], key.effect().is_live());
    }
    let table = manager(&server, "config");
    let edits = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(4).unwrap().to_owned()
    };
    assert_eq!(edits("client.idle_timeout"), "live");
    assert_eq!(edits("client.max_request"), "live for new connections");
    assert_eq!(edits("storage.path"), "restart");
}

#[test]
fn the_longest_request_is_live_for_new_connections() {
    let server = Setup::new().start();
    let request = json!({"type": "GET", "space": "none", "key": "k".repeat(2000)});
    let mut old = server.admin();
    edit(&server, "[client]\nmax_request = \"1KiB\"\n");
    assert!(!old.ask(&request)["message"].as_str().unwrap().contains("request too long"));
    let mut new = server.admin();
    let message = new.ask(&request)["message"].clone();
    assert_eq!(message, "request too long: a line may have at most 1024 bytes");
}

#[test]
fn the_time_to_drain_is_live() {
    let mut server = Setup::new().config("[shutdown]\ndrain_timeout = \"10m\"\n").start();
    edit(&server, "[shutdown]\ndrain_timeout = \"100ms\"\n");
    // A client that never reads its answers is busy for ever.
    let mut client = server.admin();
    let request = format!("{}\n", json!({"type": "LIST_SPACES"})).repeat(1000);
    client.stream.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    while std::io::Write::write_all(client.stream.get_mut(), request.as_bytes()).is_ok() {}
    // The stop uses the new timeout, not the previous one.
    assert!(server.stop().success());
    server.wait_for_log("that did not finish within 100ms");
}

#[test]
fn the_level_of_the_log_is_live() {
    let server = Setup::new().start();
    edit(&server, "[log]\nlevel = \"warn\"\n");
    server.set_limit(1001);
    edit(&server, "[log]\nlevel = \"info\"\n");
    server.set_limit(1002);
    server.wait_for_log("connection limit changed from 1001 to 1002");
    assert_eq!(said(&server, "connection limit changed from 1000 to 1001"), 0);
}

#[test]
fn what_needs_a_restart_waits_and_the_rest_of_the_edit_is_applied() {
    let server = Setup::new().config("[storage]\ndurability = \"always\"\n").start();
    edit(&server, "max_connections = 600\n[limits]\nsignal_step = 9\n[storage]\ndurability = \"1s\"\n");
    server.wait_for_log("these settings wait for a restart: storage.durability: always -> 1s");
    assert_eq!(server.limit(), 600);
    assert_eq!(setting(&server, "limits.signal_step")["value"], 9);
    let durability = setting(&server, "storage.durability");
    assert_eq!((&durability["value"], &durability["pending"]), (&"always".into(), &"1s".into()));
    assert_eq!(durability["source"], "file");
    assert_eq!(durability["live"], false);
    // Port 0 means any free port, so the setting is not pending.
    assert_eq!(setting(&server, "port")["pending"], Value::Null);
    // An edit after which the same settings are pending does not report them again.
    edit(&server, "max_connections = 601\n[limits]\nsignal_step = 9\n[storage]\ndurability = \"1s\"\n");
    server.wait_for_log("connection limit changed from 600 to 601");
    edit(&server, "max_connections = 600\n");
    assert_eq!(setting(&server, "storage.durability")["pending"], Value::Null);
    assert_eq!(said(&server, "these settings wait for a restart"), 1);
}
