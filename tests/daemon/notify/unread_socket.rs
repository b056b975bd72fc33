//! An unread notification socket blocks nothing, and gets the important messages when it is read again.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::harness::ears::{Ears, Message};
use crate::harness::{Setup, Signal, wait_until};

/// Whether the message is one of [`Ears::fill`].
fn is_filler(message: &Message) -> bool {
    message.has("FILL")
}

#[test]
fn operators_are_served_and_reloads_and_the_newest_status_are_told_later() {
    let ears = Ears::new();
    let mut server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    ears.fill();
    for reload in 1..=20 {
        server.signal(Signal::HUP);
        wait_until("it is read again", || server.log().matches("config file read again").count() >= reload);
        server.set_limit(1000 + reload as u32);
    }
    ears.hear("RELOADING=1", |message| message.has("RELOADING"));
    ears.hear("READY=1", |message| message.has("READY"));
    ears.hear("the newest status", |message| message.get("STATUS") == Some("0/1020 connections (0.0 %)"));

    ears.fill();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    ears.hear("nothing of the end, but what was there before", is_filler);
}

#[test]
fn what_is_told_late_is_told_in_order() {
    let ears = Ears::new();
    ears.fill();
    let server = ears.of(Setup::new()).start();
    server.set_limit(7);
    let port = server.port().to_string();
    let next = || ears.hear("anything new", |message| !is_filler(message));
    for name in ["clients", "management"] {
        let kept = next();
        assert_eq!((kept.get("FDSTORE"), kept.get("FDNAME")), (Some("1"), Some(name)));
    }
    let ready = next();
    assert!(ready.has("READY") && ready.get("X_SHIBUDB_PORT") == Some(&port), "{ready:?}");
    ears.hear("the newest status", |message| message.get("STATUS") == Some("0/7 connections (0.0 %)"));
    server.signal(Signal::TERM);
    ears.hear("STOPPING=1", |message| message.has("STOPPING"));
}

#[test]
fn a_sign_of_life_waits_behind_nothing() {
    const WATCHDOG: Duration = Duration::from_secs(4);
    let ears = Ears::new();
    let server = ears.of(Setup::new()).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()).start();
    ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    ears.fill();
    server.signal(Signal::HUP);
    server.wait_for_log("config file read again");
    // By then a probe has taken place.
    std::thread::sleep(WATCHDOG / 2);
    let first = ears.hear("anything new", |message| !is_filler(message));
    assert!(first.has("WATCHDOG"), "{first:?}");
    ears.hear("RELOADING=1", |message| message.has("RELOADING"));
}

#[test]
fn a_socket_without_a_path_is_heard() {
    let name = format!("shibudb-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ears = Ears::on(socket);
    let _server = Setup::new().env("NOTIFY_SOCKET", format!("@{name}")).start();
    ears.hear("READY=1", |message| message.has("READY"));
}

#[test]
fn a_socket_that_is_not_there_or_none_at_all_is_told_and_no_more() {
    for (value, words) in [
        ("/nowhere/at/all", "cannot reach the notification socket"),
        ("nonsense", "NOTIFY_SOCKET is \"nonsense\", so no notifications are sent"),
    ] {
        let mut server = Setup::new().env("NOTIFY_SOCKET", value).start();
        server.wait_for_log(words);
        assert!(server.stop().success());
    }
}
