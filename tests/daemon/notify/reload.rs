//! A reload as reported to systemd.

use std::time::Duration;

use crate::harness::ears::{Ears, Message};
use crate::harness::{HangingFs, OWN_MOUNTS, Server, Setup, Signal, is_beneath, this_test};

#[test]
fn a_good_file_is_announced_and_done() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let done = reload(&ears, &server);
    assert_eq!(done.get("STATUS"), None);
}

#[test]
fn a_broken_file_is_ready_again_with_its_reason() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    server.write_config("max_conections = 5\n");
    let done = ears.hear("READY=1", |message| message.has("READY"));
    let reason = done.get("STATUS").unwrap();
    assert!(reason.starts_with("config not applied: ") && reason.contains("max_conections"), "{reason}");

    // A signal is answered although the file is the one that was refused before.
    let done = reload(&ears, &server);
    assert_eq!(done.get("STATUS"), Some(reason));

    // The reason stays in the status, beside the usage, until a valid file is read.
    let wanted = format!("0/1000 connections (0.0 %); {reason}");
    ears.hear("the reason", |message| message.get("STATUS") == Some(&wanted));
    // It also stays when the same file is refused again.
    assert_eq!(reload(&ears, &server).get("STATUS"), Some(reason));
    ears.hear("the usage again", |message| message.get("STATUS") == Some(&wanted));
    server.write_config("max_connections = 500\n");
    ears.hear("its end", |message| message.get("STATUS") == Some("0/500 connections (0.0 %)"));
}

#[test]
fn a_limit_that_is_refused_stands_in_the_status_until_it_is_in_force() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let clients = Vec::from_iter((0..3).map(|_| server.connect()));
    server.wait_until_active(3);
    server.write_config("max_connections = 2\n[storage]\ndurability = \"1s\"\n");
    const REFUSED: &str = "max_connections = 2 of the config file is refused: 3 connections are active, and will be \
        applied as soon as possible";
    let done = ears.hear("READY=1", |message| message.has("READY"));
    assert_eq!(done.get("STATUS"), Some(REFUSED));
    let status = format!("3/1000 connections (0.3 %); {REFUSED}; waiting for a restart: storage.durability");
    ears.hear("the status", |message| message.get("STATUS") == Some(&status));
    // The limit may become possible later, so a repeated request is not a failure.
    let asked = server.manager("reload");
    assert!(asked.status.success(), "{asked:?}");
    assert!(String::from_utf8(asked.stdout).unwrap().contains("applied as soon as possible"));
    drop(clients);
    ears.hear("its end", |message| {
        message.get("STATUS") == Some("0/2 connections (0.0 %); waiting for a restart: storage.durability")
    });

    // A limit that this process can never hold is a failure.
    server.write_config("max_connections = 4000000\n");
    let status = ears.hear("READY=1", |message| message.has("READY"));
    let status = status.get("STATUS").unwrap();
    assert!(status.starts_with("max_connections = 4000000 of the config file is refused: "), "{status}");
    let error = crate::harness::refused(&server.manager("reload"), 1);
    assert!(error.starts_with("Error: max_connections = 4000000 was refused: "), "{error}");
    assert!(error.contains("all other settings in the file are in effect"), "{error}");
}

#[test]
fn a_file_that_hangs_is_ready_again_and_the_watchdog_is_fed_meanwhile() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    std::fs::write(hanging.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
    let ears = Ears::new();
    let setup = ears.of(Setup::new()).env("WATCHDOG_USEC", "1000000");
    let server = setup.config_file(hanging.path().join("shibudb.toml")).start();
    ears.hear("READY=1", |message| message.has("READY"));
    hanging.freeze();
    hanging.wait_for_waiters();
    // systemctl reload returns, and the status says why nothing was reloaded.
    let done = reload(&ears, &server);
    assert!(done.get("STATUS").unwrap().contains("has not been readable since "), "{done:?}");
    ears.hear("the status", |message| {
        message.get("STATUS").is_some_and(|status| status.ends_with(": its file system does not respond"))
    });
    // Longer than the interval of a watchdog.
    ears.listen(Duration::from_secs(1));
    for _ in 0..8 {
        ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    }
    hanging.thaw();
    ears.hear("the end of it", |message| message.get("STATUS") == Some("0/500 connections (0.0 %)"));
}

/// Triggers a reload, and returns the message about its end.
fn reload(ears: &Ears, server: &Server) -> Message {
    server.signal(Signal::HUP);
    let begun = ears.hear("RELOADING=1", |message| message.has("RELOADING"));
    // Without it systemd would wait for ever.
    assert!(begun.get("MONOTONIC_USEC").unwrap().parse::<u64>().unwrap() > 0);
    assert!(!begun.has("READY"));
    ears.hear("READY=1", |message| message.has("READY"))
}
