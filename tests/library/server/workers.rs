//! More than one thread: connections are distributed, and everything else is as with one.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use shibudb::server::Drained;

use super::test_server::{DEFAULTS, MAX_WAIT, TestServer};

const WORKERS: usize = 3;

#[test]
fn connections_are_served_by_all_threads() {
    let server = TestServer::with_workers(100, DEFAULTS, WORKERS);
    let mut admin = server.admin_in_space();
    admin.put("k", "v");
    let mut clients: Vec<_> = (0..30).map(|_| server.admin()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&json!({"type": "GET", "key": "k", "space": "s"}))["value"], "v");
        client.expect_ok(&json!({"type": "PUT", "key": "k", "value": "v", "space": "s"}), "OK");
    }
    let ids: HashSet<_> = server.roster().iter().map(|connection| connection.id).collect();
    assert_eq!(ids.len(), 31, "no number is given twice");
    server.probe();
    drop(clients);
    server.wait_until_active(1);
}

#[test]
fn the_limit_is_one_for_all_of_them() {
    let server = TestServer::with_workers(5, DEFAULTS, WORKERS);
    let inside: Vec<_> = (0..5).map(|_| server.admin()).collect();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
        stream.write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("Server at maximum capacity (5 connections)"), "{text}");
    }
    drop(inside);
    server.wait_until_active(0);
    drop(server.admin());
}

#[test]
fn a_drain_ends_those_of_all_threads() {
    let mut server = TestServer::with_workers(100, DEFAULTS, WORKERS);
    let mut clients: Vec<_> = (0..9).map(|_| server.admin()).collect();
    assert_eq!(server.drain(Duration::from_secs(10)), Drained { cut: 0 });
    for client in &mut clients {
        client.expect_end();
    }
    assert_eq!(server.active(), 0);
    assert!(TcpStream::connect(server.address).is_err());
}
