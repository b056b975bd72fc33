//! The list of connections, and ending a connection from outside.

use std::time::Duration;

use serde_json::json;
use shibudb::server::Ended;

use super::test_server::{DEFAULTS, TestServer, error, wait_until};

#[test]
fn everybody_is_listed_with_what_they_have_done() {
    for workers in [1, 3] {
        let server = TestServer::with_workers(10, DEFAULTS, workers);
        let mut admin = server.admin_in_space();
        admin.put("k", "v");
        let silent = server.connect();
        server.wait_until_active(2);
        let mut roster = server.roster();
        roster.sort_by_key(|connection| connection.id);
        let [first, second] = &roster[..] else { panic!("{roster:?}") };
        assert_eq!((first.user(), first.space(), first.requests), (Some("admin"), Some("s"), 4));
        assert_eq!(first.peer, admin.stream.get_ref().local_addr().unwrap());
        assert!(first.bytes_in > 100 && first.bytes_out > 100, "{first:?}");
        assert!(first.age >= second.age && second.idle <= second.age, "{roster:?}");
        assert_eq!((second.user(), second.space(), second.requests), (None, None, 0));
        assert_eq!(second.peer, silent.stream.get_ref().local_addr().unwrap());
        assert_eq!((second.bytes_in, second.bytes_out), (0, 0));
    }
}

#[test]
fn one_is_ended_and_the_others_stay() {
    let server = TestServer::with_workers(10, DEFAULTS, 2);
    let mut clients: Vec<_> = (0..4).map(|_| server.admin()).collect();
    let gone = clients.remove(2);
    let address = gone.stream.get_ref().local_addr().unwrap();
    let id = server.roster().iter().find(|connection| connection.peer == address).unwrap().id;
    assert_eq!(server.end(id), Some(Ended::Now));
    assert_eq!(server.end(id), None, "a number is never used again");
    let mut gone = gone;
    gone.expect_end();
    server.wait_until_active(3);
    for client in &mut clients {
        client.expect_error(&json!({"type": "GET", "key": "k", "space": "s"}), "space not found");
    }
    let mut next = server.admin();
    next.expect_error(&json!({"type": "GET", "key": "k", "space": "s"}), "space not found");
    assert!(server.roster().iter().all(|connection| connection.id != id));
}

#[test]
fn whoever_has_slept_for_long_is_not_waited_for() {
    let server = TestServer::with_workers(10, DEFAULTS, 1);
    let mut client = server.admin();
    let connection = || server.roster().pop().unwrap();
    wait_until("it has slept for long", || connection().idle > Duration::from_millis(1500));
    assert_eq!(server.end(connection().id), Some(Ended::Now));
    assert_eq!(server.server().lingering(), 0);
    client.expect_end();
}

#[test]
fn whoever_is_ended_with_more_to_say_reads_all_answers_and_an_end_of_file() {
    let server = TestServer::new(10);
    let (mut client, id) = server.slow_login();
    assert_eq!(server.end(id), Some(Ended::AfterItsRequest));
    client.expect_welcome_answers_and_end();
}

#[test]
fn a_request_that_is_being_worked_on_is_answered_first() {
    let server = TestServer::new(10);
    let mut typist = server.admin();
    // After so many logins that failed, the next from this address waits for its turn.
    for number in 0..14 {
        let mut client = server.connect();
        let answer = client.ask(&json!({"username": "admin", "password": number.to_string()}));
        assert_eq!(answer, error("authentication failed"));
    }
    let mut slow = server.connect();
    slow.send("{\"username\":\"admin\",\"password\":\"wrong\"}\n");
    let address = slow.stream.get_ref().local_addr().unwrap();
    let find = || server.roster().into_iter().find(|connection| connection.peer == address);
    wait_until("its login is being checked", || find().is_some_and(|connection| connection.requests == 1));
    let slow_one = find().unwrap();
    assert_eq!(slow_one.idle, Duration::ZERO, "it is us who are at work");
    assert_eq!(server.end(slow_one.id), Some(Ended::AfterItsRequest));
    assert_eq!(slow.answer(), error("authentication failed"));
    slow.expect_end();
    typist.expect_error(&json!({"type": "GET", "key": "k", "space": "s"}), "space not found");
}
