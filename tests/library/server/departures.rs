//! A departure is processed before an arrival, and a disconnected client does not count.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use super::test_server::{Client, DEFAULTS, TestServer, error};

fn rejected(server: &TestServer) -> u64 {
    server.limiter.totals().rejected
}

#[test]
fn clients_that_close_and_connect_again_are_never_turned_away() {
    const LIMIT: u32 = 5;
    for workers in [1, 3] {
        let server = TestServer::with_workers(LIMIT, DEFAULTS, workers);
        let mut clients: Vec<_> = (0..LIMIT).map(|_| server.admin()).collect();
        for _ in 0..100 {
            clients.clear();
            clients = (0..LIMIT).map(|_| server.admin()).collect();
        }
        assert_eq!(rejected(&server), 0, "with {workers} workers");
        assert_eq!(server.limiter.totals().peak, LIMIT);
        let mut turned_away = server.connect();
        assert_eq!(
            turned_away.answer(),
            error("Server at maximum capacity (5 connections). Please try again later.")
        );
    }
}

#[test]
fn one_client_after_another_has_the_only_place() {
    for workers in [1, 3] {
        let server = TestServer::with_workers(1, DEFAULTS, workers);
        for number in 0..100 {
            let mut client = server.admin();
            match number % 3 {
                // With an answer in flight, or in the middle of a request.
                0 => client.send("{\"type\":\"LIST_SPACES\"}\n"),
                1 => client.send("{\"type\":\"GE"),
                _ => {}
            }
        }
        assert_eq!(rejected(&server), 0, "with {workers} workers");
    }
}

#[test]
fn probes_of_a_load_balancer_are_no_rejections() {
    for workers in [1, 3] {
        let server = TestServer::with_workers(5, DEFAULTS, workers);
        for _ in 0..20 {
            for number in 0..30 {
                let probe = TcpStream::connect(server.address).unwrap();
                if number % 2 == 0 {
                    Client::of(probe).reset();
                }
            }
            server.wait_until_active(0);
        }
        // Pending connections in the backlog are accepted before this one.
        drop(server.admin());
        assert_eq!(rejected(&server), 0, "with {workers} workers");
    }
}

#[test]
fn a_client_that_has_said_all_reads_the_answer_to_its_commit() {
    let server = TestServer::new(2);
    let mut admin = server.admin_in_space();
    for number in 0..20 {
        let mut client = server.admin();
        let put = format!("{{\"type\":\"PUT\",\"space\":\"s\",\"key\":\"k{number}\",\"value\":\"v\"}}\n");
        client.send(put);
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.answer()["message"], "OK");
        client.expect_end();
        let user = serde_json::json!({"username": format!("u{number}"), "password": "p"});
        let mut client = server.admin();
        client.send(format!("{}\n", serde_json::json!({"type": "CREATE_USER", "new_user": user})));
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.answer()["message"], "USER_CREATED");
        client.expect_end();
    }
    admin.put("still", "served");
    assert_eq!(rejected(&server), 0);
    drop(admin);
    server.wait_until_active(0);
}

#[test]
fn a_login_with_requests_behind_it_is_checked_though_the_client_has_said_all() {
    let server = TestServer::new(2);
    drop(server.admin_in_space());
    let user = serde_json::json!({"username": "new", "password": "p", "role": "admin"});
    server.admin().expect_ok(&serde_json::json!({"type": "CREATE_USER", "new_user": user}), "USER_CREATED");
    let mut client = server.connect();
    client.send("{\"username\":\"new\",\"password\":\"p\"}\n{\"type\":\"LIST_SPACES\"}\n");
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer()["user"]["username"], "new");
    assert_eq!(client.answer()["status"], "OK");
    client.expect_end();
}

#[test]
fn at_the_ceiling_nobody_waits_for_those_who_linger() {
    const SILENT: usize = 200;
    // There are four descriptors besides that of the client.
    let server = TestServer::with_ceiling(1, 1, DEFAULTS, 1);
    let mut inside = server.admin_in_space();
    // None of them closes its side.
    let mut silent: Vec<_> = (0..SILENT).map(|_| server.connect()).collect();
    // The last one first: waiting until all earlier ones are gone would take too long.
    for client in silent.iter_mut().rev() {
        client.stream.get_mut().write_all(b"{}\n").ok();
        let full = "Server at maximum capacity (1 connections). Please try again later.";
        assert_eq!(client.answer(), error(full));
    }
    server.probe();
    assert_eq!(rejected(&server), SILENT as u64);
    assert!(server.server().lingering() <= 4);
    inside.put("still", "served");
}
