//! A writer in the middle of the file: nothing of its work is applied or reported until it is done.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::harness::{Server, Setup, Signal};
use crate::witness::{config, converges};

/// How long the writers pause.
const PAUSE: Duration = Duration::from_secs(2);

const BEFORE: &str = "max_connections = 500\n";

/// Nothing happens for as long as the writer pauses. To be told that takes the whole time.
#[track_caller]
fn nothing_happens(server: &Server) {
    let (log, history, config) = (server.log(), server.get("/history").body, config(server));
    let start = Instant::now();
    while start.elapsed() < PAUSE {
        assert_eq!(server.limit(), 500);
        assert_eq!(server.log(), log);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.get("/history").body, history);
    assert_eq!(crate::witness::config(server), config);
}

/// Writes one half, pauses, writes the other half, closes.
#[track_caller]
fn in_two_halves(server: &Server, mut file: File, one: &str, other: &str) {
    file.write_all(one.as_bytes()).unwrap();
    nothing_happens(server);
    file.write_all(other.as_bytes()).unwrap();
    drop(file);
    converges(server, 700, Timestamp::now(), "the whole");
    assert!(!server.log().contains("was not applied"));
}

fn truncated(server: &Server) -> File {
    OpenOptions::new().write(true).truncate(true).open(server.config_path()).unwrap()
}

#[test]
fn a_half_that_would_be_valid_is_not_applied() {
    let server = Setup::new().config(BEFORE).start();
    in_two_halves(&server, truncated(&server), "max_connections = 70", "0\n");
}

#[test]
fn a_half_that_is_invalid_is_not_reported() {
    let server = Setup::new().config(BEFORE).start();
    in_two_halves(&server, truncated(&server), "max_conn", "ections = 700\n");
}

#[test]
fn a_file_that_was_emptied_is_not_read_before_it_is_written() {
    let server = Setup::new().config(BEFORE).start();
    in_two_halves(&server, truncated(&server), "", "max_connections = 700\n");
}

#[test]
fn a_file_that_was_made_again_is_not_read_before_it_is_written() {
    let server = Setup::new().config(BEFORE).start();
    // As long as somebody reads the old file, the new one has an inode of its own; and the kernel
    // tells of the old one's end after the new one's beginning.
    let old = File::open(server.config_path()).unwrap();
    fs::remove_file(server.config_path()).unwrap();
    let file = File::create(server.config_path()).unwrap();
    drop(old);
    in_two_halves(&server, file, "", "max_connections = 700\n");
}

#[test]
fn a_change_of_mode_is_not_the_end_of_writing() {
    use std::os::unix::fs::PermissionsExt;
    let server = Setup::new().config(BEFORE).start();
    let mut file = truncated(&server);
    file.write_all(b"max_connections = 70").unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    in_two_halves(&server, file, "", "0\n");
}

#[test]
fn a_writer_who_uses_another_name_of_the_file_is_waited_for_too() {
    let server = Setup::new().config(BEFORE).start();
    let elsewhere = tempfile::tempdir_in(server.data_dir()).unwrap();
    let other_name = elsewhere.path().join("other name");
    fs::hard_link(server.config_path(), &other_name).unwrap();
    let file = OpenOptions::new().write(true).truncate(true).open(other_name).unwrap();
    in_two_halves(&server, file, "max_connections = 70", "0\n");
}

#[test]
fn whoever_asks_for_a_reload_in_the_middle_of_writing_is_told_so() {
    let server = Setup::new().config(BEFORE).start();
    let mut file = truncated(&server);
    file.write_all(b"max_connections = 70").unwrap();
    let reply = server.post("/reload", "");
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(reply.error().contains("is being written right now"), "{}", reply.body);
    server.signal(Signal::HUP);
    crate::harness::wait_until("the signal has been heard", || {
        config(&server)["last_reload"]["door"] == "signal"
    });
    assert_eq!(server.limit(), 500);
    file.write_all(b"0\n").unwrap();
    drop(file);
    converges(&server, 700, Timestamp::now(), "the whole");
    assert_eq!(config(&server)["last_reload"]["outcome"], "ok");
}
