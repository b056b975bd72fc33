//! The metrics match what has happened.

use std::time::{SystemTime, UNIX_EPOCH};

use super::scrape::{Scrape, say};
use crate::harness::{PASSWORD, Server, Setup, Signal, wait_until};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn connections_and_the_limit() {
    let server = Setup::new().limit(3).start();
    let fresh = Scrape::of(&server);
    let names =
        ["connections", "connections_peak", "connections_accepted_total", "connections_rejected_total"];
    for name in names {
        assert_eq!(fresh.value(&format!("shibudb_{name}")), 0.0, "{name}");
    }
    assert_eq!(fresh.value("shibudb_connections_limit"), 3.0);
    assert_eq!(fresh.value("shibudb_connections_limit_configured"), 3.0);
    assert!(fresh.value("shibudb_connections_ceiling") >= 3.0);

    let clients: Vec<_> = (0..3).map(|_| server.admin()).collect();
    let mut turned_away = server.connect();
    assert!(turned_away.line().unwrap().contains("maximum capacity"));
    let full = Scrape::of(&server);
    for (name, expected) in names.into_iter().zip([3.0, 3.0, 3.0, 1.0]) {
        assert_eq!(full.value(&format!("shibudb_{name}")), expected, "{name}");
    }
    let more = full.value("process_open_fds") - fresh.value("process_open_fds");
    assert!((3.0..=5.0).contains(&more), "{more}");

    drop(clients);
    server.wait_until_active(0);
    let after = Scrape::of(&server);
    assert_eq!(after.value("shibudb_connections"), 0.0);
    assert_eq!(after.value("shibudb_connections_peak"), 3.0);
}

#[test]
fn attempts_to_change_the_limit_and_the_override() {
    let server = Setup::new().limit(100).start();
    let changes = |scrape: &Scrape, door: &str, outcome: &str| {
        scrape.value(&format!("shibudb_limit_changes_total{{door=\"{door}\",outcome=\"{outcome}\"}}"))
    };
    let fresh = Scrape::of(&server);
    assert_eq!(changes(&fresh, "startup", "applied"), 1.0);
    assert_eq!(fresh.sum("shibudb_limit_changes_total"), 1.0);
    assert_eq!(fresh.value("shibudb_limit_override_active"), 0.0);
    assert_eq!(fresh.find("shibudb_limit_override_timestamp_seconds"), None);

    let before = now();
    server.set_limit(150);
    assert_eq!(server.put("/limit", r#"{"limit":0}"#).status, 400);
    assert_eq!(server.put("/limit", r#"{"limit":4000000000}"#).status, 409);
    assert!(server.manager("increase 10").status.success());
    server.signal(Signal::USR1);
    // The limit changes before the change is counted.
    wait_until("the signal is counted", || changes(&Scrape::of(&server), "signal", "applied") == 1.0);
    let moved = Scrape::of(&server);
    assert_eq!(changes(&moved, "http", "applied"), 1.0);
    assert_eq!(changes(&moved, "http", "refused"), 2.0);
    assert_eq!(changes(&moved, "cli", "applied"), 1.0);
    assert_eq!(changes(&moved, "config", "applied"), 0.0);
    assert_eq!(moved.value("shibudb_connections_limit"), 260.0);
    assert_eq!(moved.value("shibudb_connections_limit_configured"), 100.0);
    assert_eq!(moved.value("shibudb_limit_override_active"), 1.0);
    let since = moved.value("shibudb_limit_override_timestamp_seconds");
    assert!((before - 0.01..=now()).contains(&since), "{since} after {before}");

    assert_eq!(server.post("/limit/reset", "").status, 200);
    let reset = Scrape::of(&server);
    assert_eq!(reset.value("shibudb_limit_override_active"), 0.0);
    assert_eq!(reset.find("shibudb_limit_override_timestamp_seconds"), None);
}

#[test]
fn the_config_file() {
    let start = now();
    let server = Setup::new().start();
    let state = || {
        let scrape = Scrape::of(&server);
        (
            scrape.value("shibudb_config_last_reload_successful"),
            scrape.value("shibudb_config_last_reload_success_timestamp_seconds"),
        )
    };
    let (good, first) = state();
    assert_eq!(good, 1.0);
    assert!((start - 0.01..=now()).contains(&first), "{first}");
    server.write_config("max_connections = \"many\"\n");
    wait_until("the edit is refused", || state() == (0.0, first));
    server.write_config("max_connections = 70\n");
    wait_until("the edit is in force", || state().0 == 1.0);
    assert!(state().1 > first);
    assert_eq!(Scrape::of(&server).value("shibudb_connections_limit"), 70.0);

    let _held = [server.connect(), server.connect()];
    server.wait_until_active(2);
    server.write_config("max_connections = 1\n");
    wait_until("a limit that was refused is not in force", || state().0 == 0.0);
    server.set_limit(60);
    assert_eq!(state().0, 0.0, "nor is it after a change of another kind");
    assert_eq!(server.post("/limit/reset", "").status, 409);
    server.write_config("max_connections = 70\n");
    wait_until("the next edit is in force", || state().0 == 1.0);
}

#[test]
fn requests_and_logins() {
    let server = Setup::new().start();
    let mut admin = server.admin();
    let user =
        r#"{"username":"reader","password":"a long password","role":"user","permissions":{"s":"read"}}"#;
    for request in [
        r#"{"type":"CREATE_SPACE","space":"s"}"#,
        r#"{"type":"CREATE_SPACE","space":"s"}"#,
        &format!(r#"{{"type":"CREATE_USER","new_user":{user}}}"#),
        r#"{"type":"PUT","space":"s","key":"k","value":"v"}"#,
        r#"{"type":"GET","space":"s","key":"k"}"#,
        r#"{"type":"GET","space":"s","key":"missing"}"#,
        r#"{"type":"DELETE","space":"s","key":"missing"}"#,
        r#"{"type":"USE_SPACE","space":"s"}"#,
        r#"{"type":"LIST_SPACES"}"#,
        r#"{"type":"GET_USER","data":"nobody"}"#,
        r#"{"type":"SEARCH_TOPK"}"#,
        r#"{"type":"NO_SUCH_TYPE"}"#,
        "not JSON",
    ] {
        say(&mut admin, request);
    }
    let mut reader = server.login("reader", "a long password");
    for request in
        [r#"{"type":"PUT","space":"s","key":"k","value":"v"}"#, r#"{"type":"DELETE_SPACE","data":"s"}"#]
    {
        say(&mut reader, request);
    }
    let mut stranger = server.connect();
    assert!(
        say(&mut stranger, r#"{"username":"admin","password":"wrong"}"#).contains("authentication failed")
    );

    let expected = [
        ("create_space", "ok"),
        ("create_space", "error"),
        ("create_user", "ok"),
        ("put", "ok"),
        ("put", "denied"),
        ("get", "ok"),
        ("get", "not_found"),
        ("delete", "not_found"),
        ("use_space", "ok"),
        ("list_spaces", "ok"),
        ("get_user", "not_found"),
        ("vector", "error"),
        ("delete_space", "denied"),
    ];
    // A request is counted when its answer has gone out, so the client may be a moment ahead.
    wait_until("all are counted", || Scrape::of(&server).sum("shibudb_requests_total") == 15.0);
    let scrape = Scrape::of(&server);
    for (kind, outcome) in expected {
        assert_eq!(scrape.requests(kind, outcome), 1.0, "{kind} {outcome}");
        let labels = format!("type=\"{kind}\",outcome=\"{outcome}\"");
        let bucket = |le: &str| {
            scrape.value(&format!("shibudb_request_duration_seconds_bucket{{le=\"{le}\",{labels}}}"))
        };
        assert_eq!(bucket("+Inf"), 1.0, "{kind} {outcome}");
        let sum = scrape.value(&format!("shibudb_request_duration_seconds_sum{{{labels}}}"));
        assert!((1e-7..30.0).contains(&sum), "{kind} {outcome}: {sum}");
    }
    assert_eq!(scrape.requests("invalid", "error"), 2.0);
    assert_eq!(scrape.sum("shibudb_request_duration_seconds_count"), 15.0);
    assert_eq!(scrape.value("shibudb_logins_total{outcome=\"ok\"}"), 2.0);
    assert_eq!(scrape.value("shibudb_logins_total{outcome=\"denied\"}"), 1.0);
    assert_eq!(scrape.value("shibudb_session_panics_total"), 0.0);
}

#[test]
fn requests_that_come_together_are_all_counted() {
    const EACH: usize = 500;
    let server = Setup::new().start();
    let mut admin = server.admin();
    say(&mut admin, r#"{"type":"CREATE_SPACE","space":"s"}"#);
    let before = Scrape::of(&server);
    let mut requests = String::new();
    for number in 0..EACH {
        requests += &format!("{{\"type\":\"PUT\",\"space\":\"s\",\"key\":\"{number}\",\"value\":\"v\"}}\n");
    }
    for number in 0..EACH {
        requests += &format!("{{\"type\":\"GET\",\"space\":\"s\",\"key\":\"{number}\"}}\n");
    }
    admin.send(requests);
    for _ in 0..2 * EACH {
        assert!(admin.line().unwrap().contains("OK"));
    }
    wait_until("all are counted", || {
        let scrape = Scrape::of(&server);
        (scrape.requests("put", "ok"), scrape.requests("get", "ok")) == (EACH as f64, EACH as f64)
    });
    let after = Scrape::of(&server);
    let more = |name: &str| after.value(name) - before.value(name);
    assert_eq!(more("shibudb_store_writes_total"), EACH as f64);
    let commits = more("shibudb_store_commits_total");
    assert!((1.0..EACH as f64).contains(&commits), "{commits} commits");
}

#[test]
fn the_store_and_the_process() {
    let before = now();
    let mut server = Setup::new().start();
    let scrape = Scrape::of(&server);
    assert_eq!(scrape.value("shibudb_store_writable"), 1.0);
    assert_eq!(scrape.value("shibudb_store_failures_total"), 0.0);
    assert_eq!(scrape.value("shibudb_store_spaces"), 0.0);
    assert!(scrape.value("shibudb_store_size_bytes") > 0.0);
    // The administrator's account.
    wait_until("it is counted", || Scrape::of(&server).value("shibudb_store_keys_estimate") >= 1.0);
    assert!((1e6..4e9).contains(&scrape.value("process_resident_memory_bytes")));
    assert!(scrape.value("process_open_fds") < scrape.value("process_max_fds"));
    assert!(scrape.value("process_cpu_seconds_total") >= 0.0);
    let started = scrape.value("process_start_time_seconds");
    assert!((before - 2.0..now() + 2.0).contains(&started), "{started} after {before}");
    let build = format!(
        "shibudb_build_info{{version=\"{}\",arch=\"{}\",os=\"linux\"}}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    assert_eq!(scrape.value(&build), 1.0);
    assert!(server.stop().success());
    server.start_again();
    server.login("admin", PASSWORD);
    assert_eq!(Scrape::of(&server).value("shibudb_logins_total{outcome=\"ok\"}"), 1.0, "from zero again");
}

#[test]
fn history_that_could_not_be_written() {
    let mut server = Setup::new().limit(100).start();
    let unwritten = |server: &Server| {
        let told = server.get("/config").json()["limit"]["unwritten_records"].as_u64().unwrap();
        assert_eq!(Scrape::of(server).value("shibudb_limit_changes_unwritten_total"), told as f64);
        told
    };
    assert_eq!(unwritten(&server), 0);
    let words = |server: &Server, command| String::from_utf8(server.manager(command).stdout).unwrap();
    assert!(!words(&server, "status").contains("Unwritten"));

    assert!(server.stop().success());
    // Nothing can be appended to a directory.
    let file = server.data_dir().join("limit-history.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    server.start_again();
    assert_eq!(unwritten(&server), 1, "the limit at the start");
    server.set_limit(150);
    assert_eq!(unwritten(&server), 2);
    let line = "\nUnwritten History: 2 attempts to change the limit could not be written to disk (see the log); a \
        restart loses them\n";
    for command in ["status", "config"] {
        let said = words(&server, command);
        assert!(said.ends_with(line), "{said}");
    }
}

#[test]
fn connections_that_ended_by_reason_each_once_and_told_in_the_log() {
    let server = Setup::new()
        .limit(20)
        .config("[client]\nlogin_timeout = \"500ms\"\nidle_timeout = \"2s\"\nmax_request = \"1KiB\"\n")
        .start();
    let closed = |reason: &str| {
        Scrape::of(&server).value(&format!("shibudb_connections_closed_total{{reason=\"{reason}\"}}"))
    };
    let mut long = server.admin();
    long.send("x".repeat(2000));
    assert!(long.line().unwrap().contains("request too long"));
    let killed = server.admin();
    let address = killed.stream.get_ref().local_addr().unwrap().to_string();
    let listed = server.get("/connections").json();
    let entry = listed["connections"].as_array().unwrap().iter().find(|entry| entry["peer"] == address);
    let path = format!("/connections/{}", entry.unwrap()["id"]);
    assert_eq!(
        server
            .send_raw(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .status,
        200
    );
    let mut denied = server.connect();
    assert!(say(&mut denied, r#"{"username":"admin","password":"wrong"}"#).contains("authentication failed"));
    drop(server.admin());
    let mut begun = server.admin();
    begun.send("{");
    let (silent, idle) = ([server.connect(), server.connect()], server.admin());
    server.wait_until_active(0);
    for (reason, connections) in [
        ("client", 1.0),
        ("unreachable", 0.0),
        ("login_denied", 1.0),
        ("login_timeout", 2.0),
        ("idle_timeout", 1.0),
        ("too_slow", 1.0),
        ("protocol", 1.0),
        ("killed", 1.0),
    ] {
        assert_eq!(closed(reason), connections, "{reason}");
    }
    let scrape = Scrape::of(&server);
    let accepted = scrape.value("shibudb_connections_accepted_total");
    assert_eq!(scrape.sum("shibudb_connections_closed_total"), accepted);
    let peer = idle.stream.get_ref().local_addr().unwrap();
    server.wait_for_log(&format!(
        "closed the connection of {peer}, user admin: the client sent nothing for client.idle_timeout (idle_timeout)"
    ));
    for told in ["closed the connection of", "(login_timeout)", "(too_slow)", "(protocol)"] {
        server.wait_for_log(told);
    }
    assert_eq!(
        server.log().matches("(login_timeout)").count(),
        1,
        "the second is counted for a line of its own"
    );
    drop(silent);
}
