//! Access to the management API of a running server: the config file, the token file, the socket.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::harness::{Reply, Server, Setup, Signal, http, refused, shibudb};

/// A file with the given mode.
fn file(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// The error of `shibudb` for this config file, which it must not accept.
#[track_caller]
fn refuses(dir: &Path, config: &str, words: &[&str]) -> String {
    let config = file(dir, "shibudb.toml", config, 0o644);
    let mut command = shibudb(dir, words.iter().copied());
    command.arg("--config").arg(&config);
    let said = refused(&command.output().unwrap(), 78);
    said.strip_prefix(&format!("Error: {}:", config.display())).unwrap_or_else(|| panic!("{said}")).to_owned()
}

const EVERY_WAY: [&[&str]; 3] = [&["check"], &["run", "0"], &["start", "9090"]];

/// A request that carries a token.
fn ask(server: &Server, method: &str, path: &str, token: &str) -> Reply {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    http::send(server.management_port(), request.as_bytes())
}

#[test]
fn an_api_open_to_other_machines_is_refused_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0", "::", "192.0.2.7"] {
        for words in EVERY_WAY {
            let said = refuses(dir.path(), &format!("[management]\nbind = \"{address}\"\n"), words);
            assert_eq!(
                said,
                format!(
                    "2:8: management.bind {address}: anyone who can reach this address could change the limit; set \
                     token_file in [management] to require a token, or bind 127.0.0.1 and use an SSH tunnel\n"
                )
            );
        }
    }
}

#[test]
fn a_token_file_that_keeps_nobody_out_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = |mode: &str| {
        format!(
            "is accessible to every user of this machine (mode {mode}); restrict it with `chmod o= {}`",
            dir.path().join("token").display()
        )
    };
    let malformed = "does not hold a token: expected one line of printable ASCII without spaces";
    let empty = format!(
        "is empty; make a token with `openssl rand -hex 32 > {}`",
        dir.path().join("token").display()
    );
    for (text, mode, error) in [
        ("secret\n", 0o644, open("0644")),
        ("secret\n", 0o602, open("0602")),
        ("", 0o600, empty.clone()),
        ("\r\n\n", 0o600, empty),
        ("two words\n", 0o600, malformed.into()),
        ("two\nlines\n", 0o600, malformed.into()),
        ("gehé\u{ef}m\n", 0o600, malformed.into()),
        (&"x".repeat(5000), 0o600, malformed.into()),
    ] {
        let token = file(dir.path(), "token", text, mode);
        let config = format!("[management]\ntoken_file = {token:?}\n");
        for words in EVERY_WAY {
            let said = refuses(dir.path(), &config, words);
            assert_eq!(said, format!(" token file {} {error}\n", token.display()), "{text:?} {mode:o}");
        }
    }
    let config = format!("[management]\ntoken_file = {:?}\n", dir.path());
    let said = refuses(dir.path(), &config, &["check"]);
    assert_eq!(said, format!(" token file {} is not a regular file\n", dir.path().display()));
    let config = "[management]\ntoken_file = \"/no/such\"\n";
    let said = refuses(dir.path(), config, &["run", "0"]);
    assert_eq!(said, " token file /no/such cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn with_a_token_the_api_may_be_open_to_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "secret\n", 0o640);
    let config = file(
        dir.path(),
        "shibudb.toml",
        &format!("[management]\nbind = \"0.0.0.0\"\ntoken_file = {token:?}\n"),
        0o644,
    );
    let mut command = shibudb(dir.path(), ["check", "--config"]);
    let output = command.arg(&config).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_token_is_asked_for_and_a_reload_reads_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "first\n", 0o600);
    let server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/stats").status, 401);
    assert_eq!(ask(&server, "GET", "/stats", "first").status, 200);

    // An invalid token file changes nothing, and the reload reports why.
    file(dir.path(), "token", "", 0o600);
    let reply = ask(&server, "POST", "/reload", "first");
    assert_eq!(reply.status, 400);
    assert!(reply.error().contains(&format!("token file {} is empty", token.display())), "{}", reply.body);
    assert_eq!(ask(&server, "GET", "/stats", "first").status, 200);

    file(dir.path(), "token", "second\n", 0o600);
    server.signal(Signal::HUP);
    server.wait_for_log("config file read again");
    crate::harness::wait_until("the new token is in force", || {
        ask(&server, "GET", "/stats", "second").status == 200
    });
    assert_eq!(ask(&server, "GET", "/stats", "first").status, 401);

    let output = server.manager(&format!("limit 70 --token-file {}", token.display()));
    assert!(output.status.success(), "{output:?}");
    assert!(!server.log().contains("second"), "the token is not logged");
}

#[test]
fn an_edit_of_the_token_file_counts_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "first\n", 0o600);
    let server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    let moved_into_place = |text: &str| {
        let new = file(dir.path(), "new", text, 0o600);
        fs::rename(new, &token).unwrap();
    };
    let written_in_place = |text: &str| fs::write(&token, text).unwrap();
    let written_without_a_line_break = |text: &str| fs::write(&token, text.trim_end()).unwrap();
    let made_again = |text: &str| {
        fs::remove_file(&token).unwrap();
        file(dir.path(), "token", text, 0o600);
    };
    let ways: [&dyn Fn(&str); 4] =
        [&moved_into_place, &written_in_place, &written_without_a_line_break, &made_again];
    let mut old = "first".to_owned();
    for (number, edit) in (2..).zip(ways) {
        let new = format!("token-number-{number}");
        edit(&format!("{new}\n"));
        crate::harness::wait_until("the new token is in force", || {
            ask(&server, "GET", "/stats", &new).status == 200
        });
        assert_eq!(ask(&server, "GET", "/stats", &old).status, 401, "the old one is not any more");
        old = new;
    }
    assert_eq!(ask(&server, "GET", "/config", &old).json()["troubled_files"], serde_json::Value::Null);
    assert!(server.log().contains("new management API token read from token file"));
    assert!(!server.log().contains("token-number"), "the token is not logged");
}

#[test]
fn a_token_file_that_cannot_be_used_leaves_the_last_token_in_force_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "first\n", 0o600);
    let server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    let config = || ask(&server, "GET", "/config", "first").json();
    let is_told = |words: &str| {
        crate::harness::wait_until(words, || {
            config()["troubled_files"][0]["problem"].as_str().is_some_and(|problem| problem.contains(words))
        });
        assert_eq!(config()["troubled_files"][0]["file"], token.display().to_string());
        let line = format!("the management API token is unchanged: token file {} {words}", token.display());
        server.wait_for_log(&line);
        assert_eq!(ask(&server, "GET", "/stats", "first").status, 200);
        assert_eq!(ask(&server, "GET", "/stats", "").status, 401, "nobody gets in without one");
    };
    file(dir.path(), "token", "", 0o600);
    is_told("is empty");
    file(dir.path(), "token", "two words\n", 0o600);
    is_told("does not hold a token");
    file(dir.path(), "token", "second\n", 0o644);
    is_told("is accessible to every user of this machine");
    fs::remove_file(&token).unwrap();
    is_told("cannot be read: No such file");
    fs::create_dir(&token).unwrap();
    is_told("is not a regular file");
    fs::remove_dir(&token).unwrap();
    file(dir.path(), "token", "first\n", 0o600);
    crate::harness::wait_until("nothing is wrong", || config()["troubled_files"].is_null());
    server.wait_for_log("can be used again");
}

#[test]
fn a_reload_that_failed_for_its_token_file_is_good_again_when_the_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "first\n", 0o600);
    let server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    fs::remove_file(&token).unwrap();
    let reload = ask(&server, "POST", "/reload", "first");
    assert_eq!(reload.status, 400, "{}", reload.body);
    file(dir.path(), "token", "second\n", 0o600);
    crate::harness::wait_until("the new token is in force", || {
        ask(&server, "GET", "/stats", "second").status == 200
    });
    assert_eq!(ask(&server, "GET", "/config", "second").json()["last_reload"]["outcome"], "ok");
}

#[test]
fn the_socket_is_there_while_the_server_is_and_the_history_names_who_used_it() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("management.sock");
    let config = format!("[management]\nsocket = {socket:?}\nsocket_mode = \"0600\"\n");
    let mut server = Setup::new().config(config).start();
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    let manager = |words: &str| {
        let mut command = shibudb(dir.path(), ["manager", "--socket"]);
        command.arg(&socket).args(words.split(' ')).output().unwrap()
    };
    let output = manager("limit 70");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Connection limit updated to 70\n");
    let last = &server.get("/history?limit=1").json()["changes"][0];
    let actor = last["actor"].as_str().unwrap();
    let (pid, uid) = actor.strip_prefix("pid ").unwrap().split_once(" uid ").unwrap();
    assert_eq!(last["door"], "cli");
    // With the name, if that is known in time.
    let uid = uid.split(' ').next().unwrap();
    assert_eq!(uid, rustix::process::geteuid().as_raw().to_string());
    pid.parse::<u32>().unwrap();
    server.wait_for_log(&format!(" by {actor} through cli"));

    // A crash leaves the file; the next run replaces it.
    server.kill();
    assert!(socket.exists());
    assert!(!manager("limit 80").status.success());
    server.start_again();
    assert!(manager("limit 80").status.success());
    assert!(server.stop().success());
    assert!(!socket.exists(), "removed at the end");
}

#[test]
fn a_socket_that_cannot_be_had_is_told_and_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("management.sock");
    let config = file(dir.path(), "shibudb.toml", &format!("[management]\nsocket = {socket:?}\n"), 0o644);
    let run = |status| {
        let mut command = shibudb(dir.path(), ["run", "0", "--config"]);
        let output = command.arg(&config).arg("--data-dir").arg(dir.path().join("data")).output().unwrap();
        refused(&output, status)
    };
    let path = socket.display();
    let somebody = UnixListener::bind(&socket).unwrap();
    // Temporary: the other process may exit.
    assert_eq!(
        run(1),
        format!(
            "Error: another process already listens on {path}, needed for management; is shibudb already running? \
             Stop the other process, or configure another socket in [management]\n"
        )
    );
    drop(somebody);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    let error = "exists and is not a socket; configure another socket in [management]";
    assert_eq!(run(78), format!("Error: {path} {error}\n"));
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
}

#[test]
fn requests_without_the_right_token_are_in_the_log_and_not_one_by_one() {
    const GUESSES: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "right\n", 0o600);
    let mut server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    assert_eq!(ask(&server, "GET", "/stats", "guess").status, 401);
    let first = server.wait_for_log("was refused: it carried a wrong token");
    assert!(first.contains("a request to the management API from 127.0.0.1:"), "{first}");
    std::thread::scope(|scope| {
        for _ in 1..GUESSES {
            scope.spawn(|| assert_eq!(ask(&server, "GET", "/stats", "guess").status, 401));
        }
    });
    assert_eq!(server.get("/stats").status, 401);
    assert!(server.stop().success());
    let log = server.log();
    let totals: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split_once(" more to the management API "))
        .map(|(before, _)| before.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(totals.iter().sum::<u64>(), GUESSES, "39 more guesses and one without a token:\n{log}");
    assert!(totals.len() <= 10, "{log}");
    assert!(log.contains("from 127.0.0.1, last from 127.0.0.1:"), "{log}");
    assert!(!log.contains("guess"), "{log}");
}

#[test]
fn the_manager_reaches_a_server_that_listens_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let token = file(dir.path(), "token", "correct-horse\n", 0o600);
    let config = format!("[management]\nbind = \"0.0.0.0\"\ntoken_file = {token:?}\n");
    let server = Setup::new().config(config).start();
    let token = token.display();
    let output = server.manager(&format!("limit 70 --host 127.0.0.2 --token-file {token}"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Connection limit updated to 70\n", "{output:?}");
    server.wait_for_log("connection limit changed from 1000 to 70 by 127.0.0.");

    // In a domain that this machine need not resolve.
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = name.split('.').next().unwrap();
    let request = |host: &str| {
        format!(
            "GET /stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer correct-horse\r\n\r\n"
        )
    };
    let status = |host: &str| http::send(server.management_port(), request(host).as_bytes()).status;
    assert_eq!(status(&format!("{short}.monitoring.example:10090")), 200);
    assert_eq!(status("monitoring.example"), 421);
}
