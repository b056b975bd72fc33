//! Broken edits: the server continues with the previous settings, and reports the problem once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::witness::{config, configured, said};
use crate::harness::{NOT_ROOT, Server, Setup, is_beneath, this_test, wait_until};

const GOOD: &str = "max_connections = 500\n[limits]\nsignal_step = 7\n";

/// The log message of a failed reload.
const FAILED: &str = "the config file was not applied";

/// The error in `GET /config`, once it contains these words.
#[track_caller]
fn wait_for_error(server: &Server, words: &str) -> String {
    let mut error = String::new();
    wait_until(&format!("{words:?} is in GET /config"), || {
        config(server)["last_reload"]["error"].as_str().unwrap_or_default().clone_into(&mut error);
        error.contains(words)
    });
    error
}

#[track_caller]
fn serves_as_before(server: &Server) {
    assert_eq!(server.limit(), 500);
    let settings = config(server)["settings"].clone();
    let step = settings.as_array().unwrap().iter().find(|setting| setting["key"] == "limits.signal_step");
    assert_eq!(step.unwrap()["value"], 7);
    server.connect();
}

#[test]
fn a_broken_file_changes_nothing_and_is_complained_of_once() {
    let server = Setup::new().config(GOOD).start();
    let text = |text: &str| {
        let text = text.as_bytes().to_vec();
        move |path: &Path| fs::write(path, &text).unwrap()
    };
    type Break = Box<dyn Fn(&Path)>;
    let breaks: Vec<(&str, Break)> = vec![
        ("shibudb.toml:1:17: ", Box::new(text("max_connections 600\n"))),
        ("shibudb.toml:2:1: ", Box::new(text("port = 9090\nmax_conections = 600\n"))),
        ("shibudb.toml:1:19: ", Box::new(text("max_connections = \"600\"\n"))),
        ("shibudb.toml:2:15: ", Box::new(text("[limits]\nsignal_step = 0\n"))),
        ("shibudb.toml:1:19: ", Box::new(text("max_connections = 0\n"))),
        ("shibudb.toml:1:19: ", Box::new(text("max_connections = -5\n"))),
        ("shibudb.toml:1:19: ", Box::new(text("max_connections = 99999999999\n"))),
        ("shibudb.toml", Box::new(|path| fs::write(path, b"max_connections = 600 # \xff\xfe\n").unwrap())),
        ("shibudb.toml", Box::new(text(""))),
        ("larger than 1 MiB", Box::new(|path| fs::write(path, vec![b'x'; 100 << 20]).unwrap())),
        (
            "is a directory",
            Box::new(|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ),
    ];
    for (number, (words, break_it)) in breaks.into_iter().enumerate() {
        break_it(&server.config_path());
        wait_until(&format!("{words:?} is complained of"), || said(&server, FAILED) > number);
        let error = wait_for_error(&server, words);
        assert_eq!(config(&server)["last_reload"]["outcome"], "failed");
        assert_eq!(said(&server, FAILED), number + 1, "{words:?}: {}", server.log());
        serves_as_before(&server);
        assert!(error.starts_with(&server.config_path().display().to_string()), "{error}");
    }
    // It stays visible, and a reload request gets the same error.
    let reply = server.post("/reload", "");
    assert_eq!((reply.status, reply.error()), (400, wait_for_error(&server, "is a directory")));
    fs::remove_dir(server.config_path()).unwrap();
    server.write_config(GOOD);
    wait_until("a good file is read", || config(&server)["last_reload"]["outcome"] == "ok");
    serves_as_before(&server);
}

#[test]
fn a_hundred_megabytes_of_garbage_are_not_read() {
    let server = Setup::new().config(GOOD).start();
    let before = peak_memory(&server);
    server.write_config(vec![b'x'; 100 << 20]);
    wait_for_error(&server, "larger than 1 MiB");
    let grown = peak_memory(&server) - before;
    assert!(grown < 16 << 10, "grown by {grown} KiB");
}

/// The server's peak memory, in KiB.
fn peak_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_limit_above_the_ceiling_is_refused_and_not_cut_down() {
    let server = Setup::new().config(GOOD).start();
    let ceiling = config(&server)["limit"]["ceiling"].as_u64().unwrap();
    let wanted = ceiling + 1;
    server.write_config(format!("max_connections = {wanted}\n[limits]\nsignal_step = 7\n"));
    server.wait_for_log(&format!(
        "cannot set limit to {wanted}: this process can hold at most {ceiling} connections (open-file limit "
    ));
    let line =
        format!("Configured Limit: {wanted} (refused: this process can hold at most {ceiling} connections)");
    wait_until("the refusal is in the status", || configured(&server).as_ref() == Some(&line));
    serves_as_before(&server);
}

#[test]
fn a_file_that_may_not_be_read_changes_nothing() {
    let root = rustix::process::geteuid().is_root();
    if root && !is_beneath(&NOT_ROOT, this_test!()) {
        return;
    }
    let server = Setup::new().config(GOOD).start();
    let mode = |mode| fs::set_permissions(server.config_path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    wait_for_error(&server, "cannot be read: Permission denied");
    server.wait_for_log(FAILED);
    assert_eq!(said(&server, FAILED), 1);
    serves_as_before(&server);
    mode(0o600);
    wait_until("it may be read again", || config(&server)["last_reload"]["outcome"] == "ok");
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let server = Setup::new().config(GOOD).start();
    fs::remove_file(server.config_path()).unwrap();
    wait_for_error(&server, "cannot be read: No such file");
    server.wait_for_log(FAILED);
    assert_eq!(said(&server, FAILED), 1);
    serves_as_before(&server);
    server.write_config("max_connections = 600\n");
    server.wait_until_limit(600);
}
