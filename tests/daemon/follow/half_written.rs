//! A file that is being written: nothing of it is applied or reported until the writer is done.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::witness::{NO_INOTIFY, config, converges};
use crate::harness::{NOT_ROOT, Server, Setup, Signal, is_beneath, this_test};

/// How long the writers pause.
const PAUSE: Duration = Duration::from_secs(2);

const BEFORE: &str = "max_connections = 500\n";

/// Nothing happens while the writer pauses. Waits for the whole pause.
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
    assert_eq!(super::witness::config(server), config);
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
    // While the old file is open, the new one has a different inode, and the kernel reports the end of the old
    // file after the creation of the new one.
    let old = File::open(server.config_path()).unwrap();
    fs::remove_file(server.config_path()).unwrap();
    let file = File::create(server.config_path()).unwrap();
    drop(old);
    in_two_halves(&server, file, "", "max_connections = 700\n");
}

#[test]
fn a_change_of_mode_is_not_the_end_of_writing() {
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
    assert!(reply.error().contains("is open for writing"), "{}", reply.body);
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

/// Touches the file, as a script does to have it read again.
fn touch(server: &Server) {
    assert!(Command::new("touch").arg(server.config_path()).status().unwrap().success());
}

#[test]
fn a_touch_by_somebody_else_is_not_the_end_of_writing() {
    let server = Setup::new().config(BEFORE).start();
    let mut file = truncated(&server);
    file.write_all(b"max_connections = 70").unwrap();
    touch(&server);
    in_two_halves(&server, file, "", "0\n");
}

#[test]
fn nor_is_it_when_the_part_so_far_looks_complete() {
    let server = Setup::new().config(BEFORE).start();
    let mut file = truncated(&server);
    file.write_all(b"max_connections = 600\n").unwrap();
    touch(&server);
    file.write_all(b"# and the rest:\n").unwrap();
    touch(&server);
    nothing_happens(&server);
    file.set_len(0).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    in_two_halves(&server, file, "", "max_connections = 700\n");
}

/// Moves the config file into a separate directory, to which the server's path leads.
fn in_a_directory(server: &Server) -> PathBuf {
    let conf = server.config_path().with_file_name("conf");
    fs::create_dir(&conf).unwrap();
    fs::rename(server.config_path(), conf.join("shibudb.toml")).unwrap();
    symlink("conf/shibudb.toml", server.config_path()).unwrap();
    conf
}

#[test]
fn a_directory_that_was_made_anew_may_be_filled_slowly() {
    let server = Setup::new().config(BEFORE).start();
    let conf = in_a_directory(&server);
    fs::remove_dir_all(&conf).unwrap();
    fs::create_dir(&conf).unwrap();
    in_two_halves(&server, File::create(conf.join("shibudb.toml")).unwrap(), "max_connections = 70", "0\n");
}

#[test]
fn a_directory_that_was_renamed_into_place_may_be_filled_slowly() {
    let server = Setup::new().config(BEFORE).start();
    let conf = in_a_directory(&server);
    let new = conf.with_file_name("new");
    fs::create_dir(&new).unwrap();
    let mut file = File::create(new.join("shibudb.toml")).unwrap();
    file.write_all(b"max_connections = 70").unwrap();
    fs::rename(&conf, conf.with_file_name("old")).unwrap();
    fs::rename(&new, &conf).unwrap();
    in_two_halves(&server, file, "", "0\n");
}

#[test]
fn a_directory_that_may_be_entered_and_not_read_may_be_filled_slowly() {
    if rustix::process::geteuid().is_root() && !is_beneath(&NOT_ROOT, this_test!()) {
        return;
    }
    let server = Setup::new().config(BEFORE).start();
    let conf = in_a_directory(&server);
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o300)).unwrap();
    fs::remove_file(conf.join("shibudb.toml")).unwrap();
    in_two_halves(&server, File::create(conf.join("shibudb.toml")).unwrap(), "max_connections = 70", "0\n");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn without_inotify_a_writer_is_waited_for_too() {
    if !is_beneath(&NO_INOTIFY, this_test!()) {
        return;
    }
    let server = Setup::new().config(BEFORE).start();
    server.wait_for_log("cannot watch the config file with inotify");
    in_two_halves(&server, truncated(&server), "max_connections = 70", "0\n");
}

#[test]
fn a_text_without_a_line_break_at_its_end_is_read_when_nothing_more_comes() {
    let server = Setup::new().config(BEFORE).start();
    server.write_config("max_connections = 700");
    let reply = server.post("/reload", "");
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(
        reply.error().contains("may be incomplete, since its last line has no line break"),
        "{}",
        reply.body
    );
    assert_eq!(server.limit(), 500);
    server.wait_until_limit(700);
    assert_eq!(server.post("/reload", "").status, 200, "it has been left alone for long enough");
}

#[test]
fn a_reload_looks_once_more_at_what_has_just_changed() {
    let server = Setup::new().config(BEFORE).start();
    let new = server.config_path().with_file_name("new");
    // Moved into place while it is being written: it looks complete.
    let mut file = File::create(&new).unwrap();
    file.write_all(b"max_connections = 600\n").unwrap();
    fs::rename(&new, server.config_path()).unwrap();
    thread::scope(|scope| {
        let reload = scope.spawn(|| server.post("/reload", ""));
        thread::sleep(Duration::from_millis(20));
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"max_connections = 700\n").unwrap();
        drop(file);
        assert_eq!(reload.join().unwrap().status, 200);
    });
    assert_eq!(server.limit(), 700);
    assert!(!server.get("/history").body.contains("600"), "{}", server.get("/history").body);
}

#[test]
fn a_start_in_the_middle_of_writing_reads_the_whole() {
    let mut server = Setup::new().config(BEFORE).start();
    server.kill();
    let mut file = truncated(&server);
    file.write_all(b"max_connections = 70").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            file.write_all(b"0\n").unwrap();
        });
        server.start_again();
    });
    assert_eq!(server.limit(), 700);
}
