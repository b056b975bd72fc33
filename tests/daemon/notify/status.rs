//! Readiness, and the line that `systemctl status` shows.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::ears::Ears;
use crate::harness::{Setup, SmallDisk, sandbox, within};

/// The shortest interval between changes of the status.
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn ready_comes_once_both_ports_answer() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    let ready = ears.hear("READY=1", |message| message.has("READY"));
    assert_eq!(ready.get("READY"), Some("1"));
    assert_eq!(ready.get("STATUS"), Some("0/1000 connections (0.0 %)"));
    assert_eq!(ready.get("X_SHIBUDB_PORT"), Some(&*server.port().to_string()));
    server.admin();
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn the_status_follows() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let _clients = Vec::from_iter((0..45).map(|_| server.connect()));
    server.wait_until_active(45);
    let since = Instant::now();
    let status = ears.hear("45", |message| message.get("STATUS") == Some("45/1000 connections (4.5 %)"));
    within("the status follows", status.at.saturating_duration_since(since), SECOND + SECOND / 3);
}

#[test]
fn the_status_changes_at_most_once_a_second() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let address = server.address();
    let mut clients: Vec<TcpStream> = Vec::new();
    let since = Instant::now();
    let mut heard = Vec::new();
    while heard.len() < 4 {
        clients.push(TcpStream::connect(address).unwrap());
        heard.extend(ears.hear_within(Duration::from_millis(20)));
    }
    assert!(heard.iter().all(|message| message.has("STATUS")), "{heard:?}");
    // The first may come at once and the second at the start of its second; each of the others takes one second.
    // They may be read later here.
    assert!(since.elapsed() >= 2 * SECOND, "{heard:?}");
}

#[test]
fn nothing_is_said_while_nothing_changes() {
    let ears = Ears::new();
    let _server = ears.of(Setup::new()).start();
    ears.hear("READY=1", |message| message.has("READY"));
    let said = ears.listen(SECOND * 5 / 2);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_full_disk_is_in_the_status_until_there_is_room() {
    sandbox::enter(|sandbox| {
        let (ears, disk) = (Ears::new(), SmallDisk::mount(sandbox));
        let server = ears.of(Setup::new()).within(disk.path()).start();
        let mut admin = server.admin();
        let usage = "1/1000 connections (0.1 %)";
        ears.hear("the usage", |message| message.get("STATUS") == Some(usage));
        disk.fill(&mut admin);
        let full = "the disk is full: No space left on device";
        ears.hear("that the disk is full", |message| {
            message.get("STATUS").is_some_and(|status| {
                status.starts_with(&format!("{usage}; {full}")) && status.ends_with("; writes are refused")
            })
        });
        disk.free();
        ears.hear("the usage alone", |message| message.get("STATUS") == Some(usage));
    });
}
