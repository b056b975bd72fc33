//! Something else in place of the file: the error comes at once, and names the cause.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::witness::{config, said};
use crate::harness::{OWN_MOUNTS, Server, Setup, is_beneath, this_test, wait_until};

/// The log message of a failed reload.
const FAILED: &str = "the config file was not applied";

/// Waits until the edit by `replace` is reported with this message, sooner than the wait for a writer; a reload
/// reports the same.
#[track_caller]
fn is_said(server: &Server, words: &str, replace: impl Fn(&Path)) {
    let path = server.config_path();
    fs::remove_file(&path).unwrap();
    let failed = said(server, FAILED);
    // The message about the missing file.
    wait_until("it is gone", || said(server, FAILED) > failed);
    let before: jiff::Timestamp = jiff::Timestamp::now();
    replace(&path);
    let mut last = serde_json::Value::Null;
    wait_until(words, || {
        last = config(server)["last_reload"].clone();
        last["error"].as_str().is_some_and(|error| error.contains(words))
    });
    let told: jiff::Timestamp = last["time"].as_str().unwrap().parse().unwrap();
    // Less than the shortest wait for a writer.
    assert!(told.duration_since(before).as_secs() < 20, "{words}: said at {told}, made at {before}");
    let reply = server.post("/reload", "");
    assert!(reply.status == 400 && reply.error().contains(words), "{}", reply.body);
    assert_eq!(server.limit(), 500);
    fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    server.write_config("max_connections = 500\n");
    wait_until("a file is there again", || config(server)["last_reload"]["outcome"] == "ok");
}

#[test]
fn what_is_no_file_is_said_at_once() {
    let server = Setup::new().config("max_connections = 500\n").start();
    is_said(&server, "is not a regular file, but a named pipe", |path| {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    });
    is_said(&server, "is not a regular file", |path| symlink("/dev/zero", path).unwrap());
    is_said(&server, "is not a regular file", |path| symlink("/dev/tty", path).unwrap());
    is_said(&server, "is a directory, not a file", |path| fs::create_dir(path).unwrap());
    is_said(&server, "Too many levels of symbolic links", |path| symlink(path, path).unwrap());
    is_said(&server, "No such file", |path| symlink("nowhere", path).unwrap());
    assert_eq!(said(&server, "inotify"), 0, "there is enough of it: {}", server.log());
}

#[test]
fn a_file_that_only_its_mount_keeps_alive_is_said() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let server = Setup::new().config("max_connections = 500\n").start();
    let outside = server.config_path().with_file_name("outside.toml");
    fs::write(&outside, "max_connections = 510\n").unwrap();
    let mount = Command::new("mount").arg("--bind").args([&outside, &server.config_path()]).status();
    assert!(mount.unwrap().success());
    server.wait_until_limit(510);
    // As an editor on the host does.
    let new = outside.with_file_name("new.toml");
    fs::write(&new, "max_connections = 520\n").unwrap();
    fs::rename(&new, &outside).unwrap();
    let words = "was replaced or deleted outside its bind mount";
    let reply = server.post("/reload", "");
    assert!(reply.status == 400 && reply.error().contains(words), "{}", reply.body);
    server.wait_for_log(words);
    assert_eq!(server.limit(), 510);
}
