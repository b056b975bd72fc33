//! A disk that does not answer delays only the requests that need it.

use serde_json::{Value, json};

use super::disk::{Disk, Stalled};
use crate::harness::{Client, Server, Setup, wait_until};

fn get(key: &str) -> Value {
    json!({"type": "GET", "space": "s", "key": key})
}

fn put(key: &str, value: &str) -> Value {
    json!({"type": "PUT", "space": "s", "key": key, "value": value})
}

fn found(value: &str) -> Value {
    json!({"status": "OK", "value": value})
}

/// An incompressible value, which keeps its size in a table.
fn large(number: usize) -> String {
    let mut random = number as u64 + 1;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{random:016x}")
    };
    (0..3000).map(|_| next()).collect()
}

/// A server whose oldest keys are in tables, and not in memory.
fn with_cold_keys(setup: Setup) -> Server {
    let mut server = setup.start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    for number in 0..600 {
        admin.expect_ok(&put(&format!("cold {number}"), &large(number)), "OK");
    }
    let tables = server.data_dir().join("store/keyspaces/1/tables");
    wait_until("there are tables", || std::fs::read_dir(&tables).unwrap().next().is_some());
    server.stop();
    server.start_again();
    server
}

/// Everything that does not need the disk: recently read values, logins, and requests that the session itself answers.
fn expect_all_else_to_work(server: &Server, client: &mut Client) {
    for _ in 0..3 {
        assert_eq!(client.ask(&get("hot")), found("hot"));
        assert_eq!(client.ask(&json!({"type": "USE_SPACE", "space": "s"}))["status"], "OK");
        assert_eq!(server.admin().ask(&get("hot")), found("hot"));
    }
    for door in ["/health", "/metrics", "/stats"] {
        assert_eq!(server.get(door).status, 200, "{door}");
    }
}

#[test]
fn a_read_that_waits_for_the_disk_delays_nobody_else() {
    let Some((disk, setup)) = Disk::under(Setup::new()) else { return };
    let server = with_cold_keys(setup);
    let mut good = server.admin();
    good.expect_ok(&put("hot", "hot"), "OK");
    assert_eq!(good.ask(&get("hot")), found("hot"));
    assert_eq!(good.ask(&get("cold 1")), found(&large(1)));

    disk.stall(Stalled::Reads);
    // More clients than threads; their later requests are answered in order.
    let mut held_up: Vec<_> = (0..20).map(|_| server.admin()).collect();
    for (number, client) in held_up.iter_mut().enumerate() {
        let requests =
            [get(&format!("cold {}", 2 + number)), get("hot"), put("hot", "hot"), get("cold 0"), get("none")];
        client.send(requests.map(|request| format!("{request}\n")).concat());
    }
    let mut deletes = server.admin();
    let delete = json!({"type": "DELETE", "space": "s", "key": "cold 500"});
    deletes.send(format!("{delete}\n{delete}\n"));
    disk.wait_until_stalled(Stalled::Reads);
    expect_all_else_to_work(&server, &mut good);
    good.expect_ok(&put("new", "value"), "OK");

    disk.go_on(Stalled::Reads);
    for (number, client) in held_up.iter_mut().enumerate() {
        let mut answer = || serde_json::from_str::<Value>(&client.line().unwrap()).unwrap();
        assert_eq!(answer(), found(&large(2 + number)));
        assert_eq!(answer(), found("hot"));
        assert_eq!(answer(), json!({"status": "OK", "message": "OK"}));
        assert_eq!(answer(), found(&large(0)));
        assert_eq!(answer()["message"], "key not found");
    }
    assert!(deletes.line().unwrap().contains("DELETED"));
    assert!(deletes.line().unwrap().contains("key not found"));
}

#[test]
fn a_store_that_is_opened_again_answers_what_it_has_in_memory() {
    let Some((disk, setup)) = Disk::under(Setup::new()) else { return };
    let server = setup.start();
    let mut good = server.admin();
    good.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    good.expect_ok(&put("hot", "hot"), "OK");
    good.expect_ok(&put("cold", "cold"), "OK");
    assert_eq!(good.ask(&get("hot")), found("hot"));

    disk.fail(true);
    assert_eq!(good.ask(&put("another", "value"))["status"], "ERROR");
    disk.stall(Stalled::Syncs);
    disk.fail(false);
    // The repair of the journal has begun, under a lock that blocks all access to the engine.
    disk.wait_until_stalled(Stalled::Syncs);
    let mut held_up = server.admin();
    held_up.send(format!("{}\n{}\n", get("cold"), get("hot")));
    expect_all_else_to_work(&server, &mut good);

    disk.go_on(Stalled::Syncs);
    for value in ["cold", "hot"] {
        assert_eq!(serde_json::from_str::<Value>(&held_up.line().unwrap()).unwrap(), found(value));
    }
    wait_until("writes come back", || good.ask(&put("hot", "newer"))["status"] == "OK");
    assert_eq!(good.ask(&get("hot")), found("newer"));
}
