//! A reload as systemd is told of it.

use crate::ears::{Ears, Message};
use crate::harness::{Server, Setup, Signal};

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

/// Has the file read again, and returns the message that says it is over.
fn reload(ears: &Ears, server: &Server) -> Message {
    server.signal(Signal::HUP);
    let begun = ears.hear("RELOADING=1", |message| message.has("RELOADING"));
    // Without it systemd would wait for ever.
    assert!(begun.get("MONOTONIC_USEC").unwrap().parse::<u64>().unwrap() > 0);
    assert!(!begun.has("READY"));
    ears.hear("READY=1", |message| message.has("READY"))
}
