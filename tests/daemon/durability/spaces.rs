//! Spaces are created and deleted under load, and their disk usage is reclaimed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shibudb::store::{Durability, Store};

use crate::harness::{Server, Setup, wait_until, within};

/// The disk usage without the journals, whose size is independent.
fn disk_usage(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
            Ok(_) if entry.path().extension().is_some_and(|extension| extension == "jnl") => 0,
            Ok(metadata) => metadata.len(),
            // Files are created and deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}

/// Ends the background threads, also when the test fails: otherwise the join would wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn create(space: &str) -> serde_json::Value {
    json!({"type": "CREATE_SPACE", "space": space})
}

fn delete(space: &str) -> serde_json::Value {
    json!({"type": "DELETE_SPACE", "data": space})
}

/// Only these answers are permitted, and a value that is found is the one that was put.
fn use_space(server: &Server, number: u64, over: &AtomicBool) -> u64 {
    let mut client = server.admin();
    let mut stored = 0;
    while !over.load(Ordering::Relaxed) {
        let (key, value) = (format!("{number}"), format!("{stored}"));
        let answer =
            client.ask(&json!({"type": "PUT", "space": "comes and goes", "key": key, "value": value}));
        match answer["message"].as_str() {
            Some("OK") => stored += 1,
            Some("space not found") => continue,
            _ => panic!("{answer}"),
        }
        let answer = client.ask(&json!({"type": "GET", "space": "comes and goes", "key": key}));
        match (answer["value"].as_str(), answer["message"].as_str()) {
            (Some(found), _) => assert_eq!(found, value),
            // Deleted meanwhile, and perhaps created again.
            (None, Some("space not found" | "key not found")) => {}
            _ => panic!("{answer}"),
        }
        client.expect_ok(&json!({"type": "PUT", "space": "stays", "key": key, "value": value}), "OK");
    }
    stored
}

#[test]
fn a_space_comes_and_goes_under_those_who_use_it() {
    let server = Setup::new().limit(50).start();
    let mut admin = server.admin();
    admin.expect_ok(&create("stays"), "SPACE_CREATED");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let (server, over) = (&server, &over);
                    move || use_space(server, number, over)
                })
            })
            .collect();
        let end = Over(&over);
        for _ in 0..100 {
            admin.expect_ok(&create("comes and goes"), "SPACE_CREATED");
            let answer = admin.ask(&json!({"type": "GET", "space": "comes and goes", "key": "of before"}));
            assert_eq!(answer, json!({"status": "ERROR", "message": "key not found"}));
            admin.expect_ok(
                &json!({"type": "PUT", "space": "comes and goes", "key": "of before", "value": "v"}),
                "OK",
            );
            admin.expect_ok(&delete("comes and goes"), "SPACE_DELETED");
        }
        drop(end);
        let stored: u64 = users.into_iter().map(|user| user.join().unwrap()).sum();
        assert!(stored > 0);
    });
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn what_a_deleted_space_took_comes_back_while_others_are_at_work() {
    let server = Setup::new().limit(50).start();
    let mut admin = server.admin();
    admin.expect_ok(&create("stays"), "SPACE_CREATED");
    admin.expect_ok(&json!({"type": "PUT", "space": "stays", "key": "k", "value": "v"}), "OK");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = server.admin();
            while !over.load(Ordering::Relaxed) {
                let answer = client.ask(&json!({"type": "GET", "space": "stays", "key": "k"}));
                assert_eq!(answer["value"], "v");
            }
        });
        let end = Over(&over);
        for _ in 0..2 {
            admin.expect_ok(&create("large"), "SPACE_CREATED");
            let mut random = 1_u64;
            for key in 0..80 {
                let value: String = std::iter::repeat_with(|| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    format!("{random:x}")
                })
                .take(40_000)
                .collect();
                let put = json!({"type": "PUT", "space": "large", "key": format!("{key}"), "value": value});
                admin.expect_ok(&put, "OK");
            }
            wait_until("tables are written", || disk_usage(&server.data_dir()) > 10 << 20);
            admin.expect_ok(&delete("large"), "SPACE_DELETED");
            wait_until("the disk space is back", || disk_usage(&server.data_dir()) < 1 << 20);
        }
        drop(end);
        reader.join().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_spaces_are_open_in_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::Always).unwrap();
    let creators: Vec<_> = (0..50)
        .map(|creator| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    store.create_space(&format!("space {}", creator * 200 + n), true).await.unwrap();
                }
            })
        })
        .collect();
    for creator in creators {
        creator.await.unwrap();
    }
    store.close().unwrap();
    let start = Instant::now();
    let store = Store::open(dir.path(), Durability::Always).unwrap();
    let took = start.elapsed();
    assert_eq!(store.spaces().len(), 10_000);
    assert!(store.space("space 9999").is_some());
    within("10,000 spaces are open", took, Duration::from_secs(5));
}
