//! A server on a full disk: writers get an error, readers and operators are not affected, and with free
//! space everything works as before.
//!
//! The disk is a small tmpfs in a separate sandbox.

use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;
use serde_json::{Value, json};
use shibudb::series::ring;

use crate::harness::{Client, Server, Setup, SmallDisk, sandbox, wait_until};

fn put(key: &str, value: &str) -> Value {
    json!({"type": "PUT", "space": "s", "key": key, "value": value})
}

/// Every acknowledged value is present, or a later one from a refused write that took effect.
#[track_caller]
fn expect_all(client: &mut Client, acknowledged: &BTreeMap<String, u64>) {
    for (key, round) in acknowledged {
        let answer = client.ask(&json!({"type": "GET", "space": "s", "key": key}));
        let value = answer["value"].as_str().unwrap_or_else(|| panic!("{key}: {answer}"));
        let found: u64 = value.split(' ').next().unwrap().parse().unwrap();
        assert!(found >= *round, "{key}: {found} instead of {round}");
    }
}

/// Hard to compress, and contains its number.
fn value(number: u64) -> String {
    let mut random = number + 1;
    let mut value = format!("{number} ");
    while value.len() < 50_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.push_str(&format!("{random:x}"));
    }
    value
}

#[test]
fn a_full_disk_stops_writers_and_nobody_else() {
    sandbox::enter(|sandbox| {
        let disk = SmallDisk::mount(sandbox).path().to_owned();
        let mut server = Setup::new().limit(50).within(&disk).start();
        let mut admin = server.admin();
        admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
        let filler = disk.join("filler");
        let (mut acknowledged, mut number) = (BTreeMap::new(), 0);
        for round in 0..4 {
            // As much of it as fits.
            fs::write(&filler, vec![1; 150 << 20]).ok();
            let refusal = loop {
                number += 1;
                let key = format!("k{}", number % 50);
                let answer = admin.ask(&put(&key, &value(number)));
                if answer["status"] != "OK" {
                    break answer["message"].as_str().unwrap().to_owned();
                }
                acknowledged.insert(key, number);
            };
            println!("round {round}: refused after {number}: {refusal}");
            assert!(refusal.contains("the disk is full: No space left on device"), "{refusal}");
            // The store has used up its remaining room by now.
            fs::write(disk.join("rest"), vec![1; 200 << 20]).ok();
            expect_all(&mut admin, &acknowledged);
            operators_are_heard(&server, 60 + round);
            assert_eq!(admin.ask(&put("refused", "0 "))["status"], "ERROR");
            let user = json!({"username": "zoe", "password": "secret", "role": "user"});
            let answer = admin.ask(&json!({"type": "CREATE_USER", "new_user": user}));
            assert_eq!(answer["status"], "ERROR", "{answer}");
            let answer = admin.ask(&json!({"type": "DELETE_SPACE", "data": "s"}));
            assert_eq!(answer["status"], "ERROR", "{answer}");
            server.login("admin", crate::harness::PASSWORD);
            assert!(!server.log().contains("panicked"), "{}", server.log());
            operators_are_told(&server);
            // A sample replaces one from an hour ago.
            wait_until("samples are stored all the same", || {
                let kept = ring::read(&server.data_dir(), Timestamp::now());
                kept.iter().any(|sample| sample.limit == 60 + round)
            });

            let killed = round % 2 == 1;
            if killed {
                server.kill();
            }
            fs::remove_file(&filler).unwrap();
            fs::remove_file(disk.join("rest")).unwrap();
            if killed {
                server.start_again();
                admin = server.admin();
                expect_all(&mut admin, &acknowledged);
                assert_eq!(server.limit(), u64::from(60 + round), "room was kept for it");
            }
            wait_until("writes come back", || admin.ask(&put("after", "1 "))["status"] == "OK");
            expect_all(&mut admin, &acknowledged);
            wait_until("all is said to be well", || server.get("/health").body == HEALTHY);
            assert_eq!(server.get("/config").json()["store"], json!({"state": "ok"}));
            assert!(!String::from_utf8(server.manager("status").stdout).unwrap().contains("Store:"));
            // The log reports neither a crash, whatever the journal ends with, nor a hardware problem.
            let log = server.log();
            assert!(!log.contains("crash") && !log.contains("hardware") && !log.contains("Os {"), "{log}");
            if !killed {
                assert!(log.contains("the store accepts writes again, after "), "{log}");
            }
            if !killed {
                // The refused record may be on the disk until the record in force has overwritten it.
                server.wait_for_log("account zoe: stored record restored after a failed change");
                server.kill();
                server.start_again();
                admin = server.admin();
                let zoe = admin.ask(&json!({"type": "GET_USER", "data": "zoe"}));
                assert_eq!(zoe["message"], "user not found", "she was refused");
            }
        }
        server.kill();
        server.start_again();
        expect_all(&mut server.admin(), &acknowledged);
        drop(server);
        sandbox.run("umount disk");
    });
}

const HEALTHY: &str = r#"{"status":"healthy","service":"shibudb"}"#;

/// Every report for operators uses the server's own messages.
fn operators_are_told(server: &Server) {
    const FULL: &str = "the disk is full";
    wait_until("it is said", || server.get("/health").body == r#"{"status":"degraded","service":"shibudb"}"#);
    let config = server.get("/config").json();
    assert_eq!(config["store"]["state"], "disk_full");
    let problem = config["store"]["problem"].as_str().unwrap();
    assert!(
        problem.starts_with(FULL) && problem.contains("writes are refused until there is free space"),
        "{problem}"
    );
    assert!(config["store"]["since"].is_string(), "{config}");
    for words in ["status", "config", "health"] {
        let said = String::from_utf8(server.manager(words).stdout).unwrap();
        let line = said.lines().find(|line| line.starts_with("Store: ")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(problem) && line.contains(" (since "), "{line}");
    }
    let metrics = server.get("/metrics").body;
    for sample in
        ["shibudb_store_writable 0", "shibudb_store_disk_full 1", "shibudb_store_disk_size_bytes 2097"]
    {
        assert!(metrics.contains(&format!("\n{sample}")), "{sample}:\n{metrics}");
    }
    let told = server.wait_for_log("a write to the store in ");
    assert!(told.contains(FULL) && told.contains("No space left on device"), "{told}");
    assert!(told.contains("reads, logins and management continue"), "{told}");
}

/// Changes are in force and stored, in reserved space; the failure to record them is reported and counted.
fn operators_are_heard(server: &Server, limit: u32) {
    // Until the last block of the history file is full, too.
    for _ in 0..40 {
        server.set_limit(limit - 1);
        server.set_limit(limit);
    }
    assert_eq!(server.limit(), u64::from(limit));
    let reply = server.put("/limit", &format!(r#"{{"limit":{limit}}}"#));
    assert_eq!((reply.header("shibudb-stored"), reply.header("shibudb-recorded")), (None, Some("false")));
    let changes = server.get("/history?limit=1").json();
    assert_eq!(changes["changes"][0]["new"], limit);
    let told = server.wait_for_log("could not record a limit change in the history file");
    assert!(told.contains("the change is in effect") && told.contains(" (records lost so far: 1)"), "{told}");
    assert!(!server.log().contains("could not store the limit"), "{}", server.log());
}
