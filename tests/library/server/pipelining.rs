//! Many requests at once: answers in order, own writes seen, memory bounded.

use std::io::Write;

use serde_json::json;

use super::test_server::{TestServer, error};

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    let mut requests = String::new();
    let mut answers = Vec::new();
    for round in 0..300 {
        let key = format!("k{}", round % 7);
        let value = format!("v{round}");
        for (request, answer) in [
            (json!({"type": "PUT", "key": key, "value": value}), json!({"status": "OK", "message": "OK"})),
            (json!({"type": "PUT", "key": "x", "value": value}), json!({"status": "OK", "message": "OK"})),
            (json!({"type": "GET", "key": key}), json!({"status": "OK", "value": value})),
            (json!({"type": "PUT", "key": "k", "space": "nowhere", "value": ""}), error("space not found")),
            (json!({"type": "DELETE", "key": key}), json!({"status": "OK", "message": "DELETED"})),
            (json!({"type": "DELETE", "key": key}), error("key not found")),
            (json!({"type": "NOPE"}), error("unknown request type \"NOPE\"")),
            (json!({"type": "GET", "key": key}), error("key not found")),
        ] {
            requests += &format!("{request}\n");
            answers.push(answer);
        }
    }
    client.send(requests);
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(client.answer(), answer, "answer {index}");
    }
}

#[test]
fn requests_may_follow_the_login_at_once() {
    let server = TestServer::new(10);
    let mut client = server.connect();
    client.send(concat!(
        "{\"username\":\"admin\",\"password\":\"secret\"}\n",
        "{\"type\":\"CREATE_SPACE\",\"space\":\"s\"}\n",
        "{\"type\":\"USE_SPACE\",\"space\":\"s\"}\n",
        "{\"type\":\"PUT\",\"key\":\"k\",\"value\":\"v\"}\n",
        "{\"type\":\"GET\",\"key\":\"k\"}\n",
    ));
    assert_eq!(client.answer()["user"]["username"], "admin");
    assert_eq!(client.answer()["message"], "SPACE_CREATED");
    assert_eq!(client.answer()["message"], "SPACE_CHANGED");
    assert_eq!(client.answer()["message"], "OK");
    assert_eq!(client.answer()["value"], "v");
}

#[test]
fn a_request_may_come_in_pieces_and_the_last_before_the_end_of_file_is_answered() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    for byte in b"{\"type\":\"PUT\",\"key\":\"k\",\"value\":\"\xc3\xa4\"}\n{\"type\":\"GET\",\"key\":\"k\"}\n"
    {
        client.send([*byte]);
    }
    assert_eq!(client.answer()["message"], "OK");
    client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer()["value"], "ä");
    client.expect_end();
    server.wait_until_active(0);
}

#[test]
fn a_client_that_asks_for_much_and_reads_late_gets_everything() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    let value = "v".repeat(100_000);
    client.put("k", &value);
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    // 40 MB of answers: far more than sockets and server buffer. The requests must not all fit either.
    let asking = std::thread::spawn(move || {
        for _ in 0..400 {
            writer.write_all(b"{\"type\":\"GET\",\"key\":\"k\"}\n").unwrap();
        }
    });
    asking.join().unwrap();
    for _ in 0..400 {
        assert_eq!(client.answer()["value"], value);
    }
}
