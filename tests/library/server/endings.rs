//! However a connection ends, it no longer counts afterwards.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use shibudb::server::{ClientSettings, Drained};

use super::test_server::{DEFAULTS, MAX_WAIT, TestServer, error, wait_until};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_clean_close_and_a_reset_free_the_place() {
    let server = TestServer::new(10);
    let (clean, reset) = (server.admin(), server.admin());
    let (silent, half) = (server.connect(), {
        let mut client = server.admin();
        client.send("{\"type\":\"GE");
        client
    });
    server.wait_until_active(4);
    drop(clean);
    server.wait_until_active(3);
    reset.reset();
    server.wait_until_active(2);
    drop(silent);
    half.reset();
    server.wait_until_active(0);
}

#[test]
fn a_client_that_does_not_log_in_is_ended_however_slowly_it_types() {
    let server = TestServer::with_settings(10, ClientSettings { login_timeout: SHORT, ..DEFAULTS });
    let mut inside = server.admin_in_space();
    let start = Instant::now();
    let mut silent = server.connect();
    let mut typing = server.connect();
    let mut typist = typing.stream.get_ref().try_clone().unwrap();
    let typing_on = std::thread::spawn(move || {
        use std::io::Write;
        while typist.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(start.elapsed() < MAX_WAIT, "it is never ended");
        }
    });
    silent.expect_end();
    assert!(start.elapsed() >= SHORT);
    typing.expect_gone();
    typing_on.join().unwrap();
    server.wait_until_active(1);
    inside.put("still", "here");
}

#[test]
fn an_idle_client_is_ended_if_the_settings_say_so_and_they_count_at_once() {
    let server = TestServer::new(10);
    let mut idle = server.admin_in_space();
    idle.put("k", "v");
    server.settings.send_replace(ClientSettings { idle_timeout: Some(SHORT), ..DEFAULTS });
    idle.expect_end();
    server.wait_until_active(0);
}

#[test]
fn a_request_that_comes_byte_by_byte_must_be_complete_in_time() {
    let server = TestServer::with_settings(10, ClientSettings { idle_timeout: Some(SHORT), ..DEFAULTS });
    let mut slow = server.admin();
    let mut typist = slow.stream.get_ref().try_clone().unwrap();
    let typing = std::thread::spawn(move || {
        use std::io::Write;
        let start = Instant::now();
        while typist.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(start.elapsed() < MAX_WAIT, "it is never ended");
        }
    });
    slow.expect_gone();
    typing.join().unwrap();
    server.wait_until_active(0);
}

#[test]
fn a_drain_ends_idle_clients_at_once_and_closes_the_port() {
    let mut server = TestServer::new(10);
    let mut clients = [server.admin(), server.connect()];
    server.wait_until_active(2);
    // The connections that the drain waits for are cut in the end.
    assert_eq!(server.drain(MAX_WAIT), Drained { cut: 0 });
    for client in &mut clients {
        client.expect_end();
    }
    assert_eq!(server.active(), 0);
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn accepting_can_be_stopped_while_descriptors_are_short() {
    // There are four descriptors besides those of the clients.
    let mut server = TestServer::with_ceiling(1, 1, DEFAULTS, 1);
    let mut inside = server.admin_in_space();
    let _turned_away: Vec<_> = (0..10).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    wait_until("all are turned away", || server.limiter.totals().rejected == 10);
    assert!((1..=4).contains(&server.server().lingering()));
    server.stop_accepting();
    inside.put("still", "served");
    assert_eq!(server.drain(MAX_WAIT), Drained { cut: 0 });
    inside.expect_end();
}

#[test]
fn a_drain_lets_requests_in_progress_finish() {
    let mut server = TestServer::new(10);
    let mut client = server.admin_in_space();
    let value = "v".repeat(1000);
    client.put("k", &value);
    // The server cannot send all the answers before they are read, so it is busy when the drain starts.
    let requests = 30_000;
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let request = json!({"type": "GET", "key": "k"}).to_string() + "\n";
    writer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    for _ in 0..requests {
        use std::io::Write;
        match writer.write(request.as_bytes()) {
            Ok(written) if written == request.len() => sent += 1,
            _ => break,
        }
    }
    writer.set_nonblocking(false).unwrap();
    let reading = std::thread::spawn(move || {
        let mut answered = 0;
        while let Ok(mut line) = {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut client.stream, &mut line).map(|_| line)
        } {
            if line.pop() != Some('\n') {
                break;
            }
            assert!(line.ends_with(&format!("{value}\"}}")), "every answer is whole");
            answered += 1;
        }
        answered
    });
    assert_eq!(server.drain(MAX_WAIT), Drained { cut: 0 });
    let answered = reading.join().unwrap();
    assert!(answered > 0 && answered <= sent);
    assert_eq!(server.active(), 0);
}

#[test]
fn whoever_sends_far_too_long_a_line_and_reads_only_then_is_told_so() {
    let server = TestServer::new(10);
    let mut client = server.admin();
    client.stream.get_ref().set_write_timeout(Some(MAX_WAIT)).unwrap();
    client.send("x".repeat(8 * DEFAULTS.max_request));
    assert_eq!(client.answer(), error("request too long: a line may have at most 1048576 bytes"));
    client.expect_end();
    drop(client);
    wait_until("nothing lingers", || server.server().lingering() == 0);
}

#[test]
fn whoever_is_drained_with_more_to_say_reads_all_answers_and_an_end_of_file() {
    let mut server = TestServer::new(10);
    let (mut client, _) = server.slow_login();
    assert_eq!(server.drain(MAX_WAIT), Drained { cut: 0 });
    client.expect_welcome_answers_and_end();
}

#[test]
fn who_does_not_read_its_answers_is_cut_off_when_the_time_is_up() {
    let mut server = TestServer::new(10);
    let mut client = server.admin_in_space();
    client.put("k", &"v".repeat(500_000));
    client.send("{\"type\":\"GET\",\"key\":\"k\"}\n".repeat(100));
    // After the first answer, all are in flight: more than the sockets can hold.
    assert_eq!(client.answer()["status"], "OK");
    assert_eq!(server.drain(SHORT), Drained { cut: 1 });
    client.expect_gone();
    wait_until("the place is free", || server.active() == 0);
}
