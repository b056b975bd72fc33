//! At the limit: every rejected client gets the message.

use std::io::{Read, Write};
use std::net::TcpStream;

use shibudb::server::MAX_LINGERING;

use super::test_server::{MAX_WAIT, TestServer, wait_until};

const FULL: &str = "{\"status\":\"ERROR\",\"message\":\"Server at maximum capacity (1 connections). Please try again later.\"}\n";

/// Reads to the end; an error (a reset, say) fails the test.
fn all_of(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn two_hundred_clients_that_send_their_login_at_once_all_read_the_whole_line() {
    let server = TestServer::new(1);
    let mut inside = server.admin();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
            stream
        })
        .collect();
    for client in &clients {
        assert_eq!(all_of(client), FULL);
    }
    assert_eq!(server.limiter.totals().rejected, 200);
    assert_eq!(server.active(), 1);
    inside.send("{\"type\":\"LIST_SPACES\"}\n");
    assert_eq!(inside.answer()["status"], "OK", "who is inside is not disturbed");
    drop(clients);
    wait_until("nothing lingers", || server.server().lingering() == 0);
}

#[test]
fn a_login_sent_late_does_not_destroy_the_line() {
    let server = TestServer::new(1);
    let _inside = server.admin();
    let mut late = TcpStream::connect(server.address).unwrap();
    wait_until("the rejection is sent", || server.limiter.totals().rejected == 1);
    wait_until("it lingers", || server.server().lingering() == 1);
    late.write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
    assert_eq!(all_of(&late), FULL);
}

#[test]
fn the_line_names_the_limit_of_the_moment() {
    let server = TestServer::new(1);
    let mut clients = vec![server.connect()];
    server.wait_until_active(1);
    server.limiter.set(2).unwrap();
    clients.push(server.connect());
    server.wait_until_active(2);
    let rejected = TcpStream::connect(server.address).unwrap();
    assert!(all_of(&rejected).contains("(2 connections)"));
}

#[test]
fn those_who_never_hang_up_linger_for_a_second_and_not_without_bound() {
    let server = TestServer::new(1);
    let _inside = server.connect();
    server.wait_until_active(1);
    let mut most = 0;
    let silent: Vec<_> = (0..MAX_LINGERING + 200)
        .map(|_| {
            let stream = TcpStream::connect(server.address).unwrap();
            most = most.max(server.server().lingering());
            stream
        })
        .collect();
    wait_until("all are turned away", || server.limiter.totals().rejected == silent.len() as u64);
    assert!(most <= MAX_LINGERING);
    for client in &silent {
        assert_eq!(all_of(client), FULL);
    }
    wait_until("nothing lingers", || server.server().lingering() == 0);
}

#[test]
fn a_place_that_becomes_free_is_given_to_the_next() {
    let server = TestServer::new(1);
    for _ in 0..20 {
        let client = server.admin();
        drop(client);
        server.wait_until_active(0);
    }
    assert_eq!(server.limiter.totals().rejected, 0);
    assert_eq!(server.limiter.totals().peak, 1);
}
