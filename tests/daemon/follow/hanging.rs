//! Config and token files on a file system that stops answering.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, kill_process};

use super::witness::{config, manager};
use crate::harness::{
    HangingFs, Log, OWN_MOUNTS, Setup, Signal, is_beneath, refused, shibudb, this_test, wait_until,
};

#[test]
fn the_hanging_file_system_is_one_until_it_hangs() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    let (path, source) = (hanging.path(), hanging.source());
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::write(path.join("a/b/new"), "text").unwrap();
    fs::rename(path.join("a/b/new"), path.join("a/file")).unwrap();
    assert_eq!(fs::read(source.join("a/file")).unwrap(), b"text");
    std::os::unix::fs::symlink("a/file", path.join("link")).unwrap();
    fs::write(source.join("a/file"), "longer text").unwrap();
    assert_eq!(fs::read(path.join("link")).unwrap(), b"longer text");
    let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>(), ["a".into(), "link".into()].into());
    fs::remove_file(path.join("link")).unwrap();
    fs::write(path.join("a/file"), "").unwrap();
    assert_eq!(fs::read(source.join("a/file")).unwrap(), b"");

    hanging.freeze();
    let cat = || Command::new("cat").arg(path.join("a/file")).stdout(Stdio::null()).spawn().unwrap();
    let (mut killed, mut patient) = (cat(), cat());
    hanging.wait_for_waiters();
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(patient.try_wait().unwrap().is_none());
    hanging.thaw();
    wait_until("it is answered", || patient.try_wait().unwrap().is_some_and(|status| status.success()));
}

/// The message about a file that hangs.
const HANGS: &str = "has not been readable since ";

#[test]
fn a_config_file_that_hangs_stops_nobody() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    fs::write(hanging.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
    let path = hanging.path().join("shibudb.toml");
    let mut server = Setup::new().config_file(&path).start();
    let mut client = server.admin();
    hanging.freeze();
    hanging.wait_for_waiters();

    // It is reported without a reload request.
    let troubled = || config(&server)["troubled_files"].clone();
    wait_until("it is known", || troubled()[0]["file"] == path.display().to_string());
    assert_eq!(troubled()[0]["problem"], "its file system does not respond");
    let since: jiff::Timestamp = troubled()[0]["since"].as_str().unwrap().parse().unwrap();
    assert!(since <= jiff::Timestamp::now());
    assert!(manager(&server, "config").contains(&format!("Not Readable: {} since ", path.display())));
    server.wait_for_log(&format!("the config file {} {HANGS}", path.display()));
    assert!(server.get("/metrics").body.contains("shibudb_config_last_reload_successful 0\n"));

    // A reload request gets the error, and none waits for long, however many there are.
    let threads = || fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    let ask = || {
        let reply = server.post("/reload", "");
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.error().contains(HANGS) && reply.error().contains("the settings in force stay"));
    };
    // The first request starts the threads that identify callers.
    ask();
    let before = threads();
    (0..10).for_each(|_| ask());
    assert_eq!(threads(), before);
    server.signal(Signal::HUP);
    wait_until("the signal is answered", || config(&server)["last_reload"]["door"] == "signal");
    assert_eq!(config(&server)["last_reload"]["outcome"], "failed");

    // Everything else continues.
    assert_eq!(server.get("/health").status, 200);
    server.set_limit(510);
    server.signal(Signal::USR1);
    server.wait_until_limit(610);
    assert_eq!(client.ask(&serde_json::json!({"type": "LIST_SPACES"}))["status"], "OK");
    server.admin();

    // A change written meanwhile takes effect when the file can be read.
    fs::write(hanging.source().join("shibudb.toml"), "max_connections = 600\n").unwrap();
    hanging.thaw();
    server.wait_until_limit(600);
    wait_until("nothing is wrong any more", || {
        troubled().is_null() && config(&server)["last_reload"]["outcome"] == "ok"
    });
    server.wait_for_log(&format!("the config file {} can be read again", path.display()));

    drop(client);
    hanging.freeze();
    hanging.wait_for_waiters();
    assert!(server.stop().success(), "it ends while the file hangs");
}

#[test]
fn a_reload_that_is_asked_for_first_is_told_in_bounded_time() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    fs::write(hanging.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
    let server = Setup::new().config_file(hanging.path().join("shibudb.toml")).start();
    hanging.freeze();
    assert!(server.post("/reload", "").error().contains(HANGS));
    hanging.thaw();
    wait_until("it is read again", || config(&server)["last_reload"]["outcome"] == "ok");
    assert_eq!(server.post("/reload", "").status, 200);
}

#[test]
fn a_start_that_waits_for_its_config_file_says_so_and_can_be_ended() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    fs::write(hanging.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
    let path = hanging.path().join("shibudb.toml");
    hanging.freeze();
    let home = tempfile::tempdir().unwrap();
    let mut command = shibudb(home.path(), ["run", "0"]);
    command.arg("--config").arg(&path).arg("--data-dir").arg(home.path().join("data"));
    let mut start = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(start.stderr.take().unwrap());
    log.wait_for(&format!("starting: waiting for {} to be read", path.display()));
    kill_process(Pid::from_child(&start), Signal::TERM).unwrap();
    let mut status = None;
    wait_until("it has ended", || {
        status = start.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
    log.wait_for(&format!("startup was still waiting for {}", path.display()));
}

#[test]
fn a_check_of_a_file_that_hangs_says_so() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    fs::write(hanging.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
    let path = hanging.path().join("shibudb.toml");
    hanging.freeze();
    let home = tempfile::tempdir().unwrap();
    let output = shibudb(home.path(), ["check", "--config"]).arg(&path).output().unwrap();
    let error = refused(&output, 1);
    assert_eq!(
        error,
        format!("Error: {}: cannot be read: its file system has not responded for 5 s\n", path.display())
    );
}

#[test]
fn a_token_file_that_hangs_does_not_stop_the_config_file() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let hanging = HangingFs::new();
    let source = hanging.source().join("token");
    fs::write(&source, "first\n").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
    let path = hanging.path().join("token");
    let management = format!("[management]\ntoken_file = {path:?}\n");
    let server = Setup::new().config(&management).start();
    let ask = |method: &str, path: &str, token: &str| {
        let port = server.management_port();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        server.send_raw(text)
    };
    hanging.freeze();
    hanging.wait_for_waiters();
    server.wait_for_log(&format!("the token file {} {HANGS}", path.display()));
    server.write_config(format!("max_connections = 500\n{management}"));
    wait_until("the edit is in force", || ask("GET", "/limit", "first").json()["current_limit"] == 500);
    let troubled = ask("GET", "/config", "first").json()["troubled_files"][0].clone();
    assert_eq!(troubled["file"], path.display().to_string());
    let reply = ask("POST", "/reload", "first");
    assert!(reply.status == 400 && reply.error().contains("the token in force stays"), "{}", reply.body);

    fs::write(&source, "second\n").unwrap();
    hanging.thaw();
    wait_until("the new token is asked for", || ask("GET", "/limit", "second").status == 200);
    assert_eq!(ask("GET", "/limit", "first").status, 401);
    wait_until("nothing is wrong", || ask("GET", "/config", "second").json()["troubled_files"].is_null());
}
