//! The watchdog: it is notified while clients would be served, and only then.

use std::time::{Duration, Instant};

use super::threads::Stopped;
use crate::harness::ears::Ears;
use crate::harness::{Server, Setup};

/// In place of the unit's `WatchdogSec=`. A probe may take half of it.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A server with a watchdog, after its first notification.
fn watched(ears: &Ears, setup: Setup) -> Server {
    let server = ears.of(setup).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()).start();
    ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    server
}

fn hears_word(ears: &Ears) {
    let since = Instant::now();
    let word = ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    assert!(word.at - since < WATCHDOG, "systemd would have ended it: {:?}", word.at - since);
}

#[test]
fn word_comes_in_time_and_probes_are_no_clients() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new());
    for _ in 0..4 {
        hears_word(&ears);
        assert_eq!(server.active(), 0);
    }
}

#[test]
fn a_full_server_is_a_healthy_one() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new().limit(1));
    let _client = server.admin();
    // Earlier notifications may still be unread.
    ears.listen(Duration::from_millis(100));
    for _ in 0..4 {
        hears_word(&ears);
        assert_eq!(server.active(), 1);
    }
    assert!(!server.log().contains("turned away"), "a probe was taken for a client");
}

#[test]
fn a_stuck_accept_loop_sends_no_word() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new());
    sends_no_word_without(&ears, &server, "clients-0");
}

#[test]
fn a_stuck_store_sends_no_word() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new());
    sends_no_word_without(&ears, &server, "store-commit");
}

fn sends_no_word_without(ears: &Ears, server: &Server, name: &str) {
    let stopped = Stopped::stop(server, name);
    // First the notifications in flight when the threads stopped, then longer than systemd would wait.
    ears.listen(WATCHDOG / 4);
    let said = ears.listen(WATCHDOG);
    assert!(!said.iter().any(|message| message.has("WATCHDOG")), "{said:?}");
    server.wait_for_log("has not answered a probe");
    // Management works nevertheless.
    assert_eq!(server.get("/health").status, 200);

    stopped.go_on();
    ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
}
