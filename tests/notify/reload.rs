//! A reload as systemd is told of it.

use std::time::Duration;

use crate::ears::{Ears, Message};
use crate::harness::{HangingFs, Server, Setup, Signal, again_beneath, hanging_fs, is_inside};

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

    // The reason stays in sight, beside the usage, until a good file comes.
    let wanted = format!("0/1000 connections (0.0 %); {reason}");
    ears.hear("the reason", |message| message.get("STATUS") == Some(&wanted));
    // And so it does when the same file is refused once more.
    assert_eq!(reload(&ears, &server).get("STATUS"), Some(reason));
    ears.hear("the usage again", |message| message.get("STATUS") == Some(&wanted));
    server.write_config("max_connections = 500\n");
    ears.hear("its end", |message| message.get("STATUS") == Some("0/500 connections (0.0 %)"));
}

#[test]
fn a_file_that_hangs_is_ready_again_and_the_watchdog_is_fed_meanwhile() {
    const NAME: &str = "reload::a_file_that_hangs_is_ready_again_and_the_watchdog_is_fed_meanwhile";
    if !is_inside() {
        again_beneath(&hanging_fs::WORLD, NAME);
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
    // systemctl reload comes back, and says why nothing was reloaded.
    let done = reload(&ears, &server);
    assert!(done.get("STATUS").unwrap().contains("has not been readable since "), "{done:?}");
    ears.hear("the status", |message| {
        message.get("STATUS").is_some_and(|status| status.ends_with(": its file system does not answer"))
    });
    // Longer than a watchdog would wait, from one word to the next.
    ears.listen(Duration::from_secs(1));
    for _ in 0..8 {
        ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    }
    hanging.thaw();
    ears.hear("the end of it", |message| message.get("STATUS") == Some("0/500 connections (0.0 %)"));
}

/// Has the file read again, and returns the message that says it is over.
fn reload(ears: &Ears, server: &Server) -> Message {
    server.signal(Signal::HUP);
    let begun = ears.hear("RELOADING=1", |message| message.has("RELOADING"));
    // Without it systemd would wait for ever.
    assert!(begun.get("MONOTONIC_USEC").unwrap().parse::<u64>().unwrap() > 0);
    assert!(!begun.has("READY"));
    ears.hear("READY=1", |message| message.has("READY"))
}
