//! What survives a restart, and how the server stops.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Setup, Signal, wait_until};

#[test]
fn what_is_stored_is_for_nobody_else() {
    crate::harness::sandbox::enter(|sandbox| {
        sandbox.run("umask 022 && shibudb start 9090 --data-dir new/data");
        assert_eq!(sandbox.run("stat -c %a new/data"), "700\n");
        sandbox.run("shibudb stop 9090");
    });
}

#[test]
fn a_start_whose_limit_is_another_says_so_and_why() {
    crate::harness::sandbox::enter(|sandbox| {
        let said = sandbox.run("shibudb start 9090 100 --data-dir data");
        assert!(said.contains(" limit 100, ") && said.lines().count() == 1, "{said}");
        sandbox.run("shibudb manager 9090 limit 105 && shibudb stop 9090");
        let said = sandbox.run("shibudb start 9090 100 --data-dir data");
        let (first, why) = said.split_once('\n').unwrap();
        assert!(first.contains(" limit 105, "), "{said}");
        assert!(why.starts_with("The limit is 105: set by 127.0.0.1:"), "{said}");
        let rest = " through cli before this start, instead of the configured 100; `shibudb manager 9090 reset` \
            restores that\n";
        assert!(why.ends_with(rest), "{said}");
        // The log's own thread writes it.
        wait_until("it is logged", || sandbox.run("grep -c ready: data/shibudb.log") == "2\n");
        let log = sandbox.run("grep ready: data/shibudb.log | tail -n 1");
        let version = concat!("; shibudb ", env!("CARGO_PKG_VERSION"), ", no config file (");
        assert!(log.contains("limit 105 (set by ") && log.contains(version), "{log}");
        assert!(log.trim_end().ends_with("/data"), "{log}");
        sandbox.run("shibudb stop 9090");
    });
}

#[test]
fn what_was_answered_ok_is_there_after_a_kill() {
    let mut server = Setup::new().limit(50).start();
    let mut admin = server.admin();
    admin.expect_ok(
        &json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"}),
        "SPACE_CREATED",
    );
    for number in 0..100 {
        let (key, value) = (format!("key {number}"), format!("value {number}"));
        admin.expect_ok(&json!({"type": "PUT", "space": "s", "key": key, "value": value}), "OK");
    }
    let zoe = json!({"username": "zoe", "password": "secret", "role": "user", "permissions": {"s": "read"}});
    admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": zoe}), "USER_CREATED");
    server.set_limit(70);

    server.kill();
    server.start_again();

    // With the same limit on the command line, so that the one set at run time still takes precedence.
    assert_eq!((server.limit(), server.active()), (70, 0));
    let mut zoe = server.login("zoe", "secret");
    for number in 0..100 {
        let answer = zoe.ask(&json!({"type": "GET", "space": "s", "key": format!("key {number}")}));
        assert_eq!(answer, json!({"status": "OK", "value": format!("value {number}")}));
    }
    let history = server.get("/history").json();
    let doors: Vec<_> = history["changes"].as_array().unwrap().iter().map(|change| &change["door"]).collect();
    assert_eq!(doors, ["startup", "http", "startup"]);
}

#[test]
fn the_warning_that_a_limit_cannot_be_had_names_the_one_in_force() {
    let mut server = Setup::new().limit(50_000).open_files(1000).start();
    let most = server.limit();
    server.wait_for_log(&format!("more than this process can hold; starting with {most} "));
    server.set_limit(500);
    assert!(server.stop().success());
    server.start_again();
    assert_eq!(server.limit(), 500);
    server.wait_for_log("more than this process can hold; starting with 500 ");
}

#[test]
fn a_start_with_few_files_clamps_a_stored_limit_and_keeps_it() {
    let mut server = Setup::new().limit(100).start();
    server.set_limit(5000);
    assert!(server.stop().success());
    server.start_again_with_open_files(1024);
    let most = server.limit();
    assert!((100..1024).contains(&most), "{most}");
    let status = String::from_utf8(server.manager("status").stdout).unwrap();
    let line =
        format!("\nOverride: 5000 (clamped to {most}: this process can hold at most {most} connections)\n");
    assert!(status.contains(&line), "{status}");
    let config = server.get("/config").json();
    let set = &config["limit"]["override"];
    assert_eq!((&set["limit"], &set["clamped_to"]), (&json!(5000), &json!(most)));
    server.wait_for_log(&format!(
        "stored limit 5000 is more than this process can hold; starting with {most} "
    ));
    server.kill();
    server.start_again_with_open_files(20_000);
    assert_eq!(server.limit(), 5000);
}

#[test]
fn asked_to_stop_it_ends_its_idle_sessions_and_itself() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Setup::new().start();
        let mut sessions = [server.admin(), server.admin(), server.connect()];
        server.wait_until_active(3);
        server.signal(signal);
        for session in &mut sessions {
            session.expect_end();
        }
        assert!(server.wait().success());
        server.start_again();
        server.admin();
        assert!(server.stop().success());
    }
}

#[test]
fn a_management_request_that_never_ends_does_not_keep_the_log_from_what_is_left_to_say() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    fs::write(&file, "open-sesame\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let mut server =
        Setup::new().config(format!("[management]\ntoken_file = {:?}\n", file.display().to_string())).start();
    // The first is logged at once, the second later.
    for _ in 0..2 {
        assert_eq!(server.get("/limit").status, 401);
    }
    let mut stuck = TcpStream::connect(("127.0.0.1", server.management_port())).unwrap();
    let head = "PUT /limit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer open-sesame\r\n\
        Content-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    stuck.write_all(head.as_bytes()).unwrap();
    // The server waits for the body.
    let mut answer = [0; 12];
    stuck.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");

    assert!(server.stop().success());
    // Another program may have sent a request, too: one that knew the port from an earlier server.
    server.wait_for_log(" more to the management API w");
}
