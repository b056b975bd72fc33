//! The memory of all requests in flight is bounded, without a loss of requests.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use shibudb::server::{ClientSettings, Ending};

use super::test_server::{Client, DEFAULTS, MAX_WAIT, TestServer, error, wait_until, wait_until_for};

const MOST: usize = 4 * 1024 * 1024;
const VALUE: usize = 200 * 1024;
const CLIENTS: usize = 60;

fn small() -> TestServer {
    TestServer::with_settings(100, ClientSettings { max_request: 256 * 1024, max_inflight: MOST, ..DEFAULTS })
}

fn logged_in(server: &TestServer) -> Vec<Client> {
    let mut first = server.admin_in_space();
    first.put("ready", "yes");
    let mut clients = vec![first];
    while clients.len() < CLIENTS {
        let mut client = server.admin();
        client.expect_ok(&json!({"type": "USE_SPACE", "space": "s"}), "SPACE_CHANGED");
        clients.push(client);
    }
    clients
}

fn put(number: usize) -> String {
    let value = char::from(b'a' + u8::try_from(number % 26).unwrap()).to_string().repeat(VALUE);
    format!("{}\n", json!({"type": "PUT", "key": number.to_string(), "value": value}))
}

/// Checks the bound until `stop` is set, and returns the maximum.
fn most_inflight(server: &TestServer, stop: &AtomicBool) -> usize {
    let mut most = 0;
    while !stop.load(Ordering::Relaxed) {
        most = most.max(server.server().inflight());
        thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn sixty_large_requests_at_once_are_read_one_after_another_and_all_are_answered() {
    let server = small();
    let clients = logged_in(&server);
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let most = scope.spawn(|| most_inflight(&server, &stop));
        // Each sends all but the end of its request: together three times what may be in flight.
        let senders: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut client)| {
                let go = &go;
                scope.spawn(move || {
                    let request = put(number);
                    client.stream.get_ref().set_write_timeout(Some(MAX_WAIT)).unwrap();
                    client.send(&request[..VALUE]);
                    wait_until("the test goes on", || go.load(Ordering::Relaxed));
                    client.send(&request[VALUE..]);
                    assert_eq!(client.answer(), json!({"status": "OK", "message": "OK"}));
                    client
                })
            })
            .collect();
        wait_until("reading pauses", || server.server().inflight() >= MOST / 2);
        let read: u64 = server.roster().iter().map(|connection| connection.bytes_in).sum();
        assert!(read < (CLIENTS * VALUE) as u64, "all was read");
        // Uninvolved clients are served as before, and no client was disconnected.
        server.probe();
        assert_eq!(server.active(), u32::try_from(CLIENTS).unwrap());
        go.store(true, Ordering::Relaxed);
        let clients: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        let most = most.join().unwrap();
        assert!((MOST / 2..=MOST).contains(&most), "{most} of {MOST} bytes");
        for (number, mut client) in clients.into_iter().enumerate() {
            let answer = client.ask(&json!({"type": "GET", "key": number.to_string()}));
            assert_eq!(answer["value"].as_str().unwrap().len(), VALUE);
        }
    });
    wait_until("nothing is in flight", || server.server().inflight() == 0);
}

#[test]
fn whoever_reads_nothing_of_its_answers_is_ended_and_holds_little_until_then() {
    let server = small();
    let mut client = server.admin_in_space();
    client.put("k", &"v".repeat(VALUE));
    let start = Instant::now();
    let mut stream = client.stream.get_ref().try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let gets = "{\"type\":\"GET\",\"key\":\"k\"}\n".repeat(200);
    let mut most = 0;
    // It sends requests until the kernel's buffers are full, and reads nothing.
    wait_until_for(Duration::from_secs(60), "it is ended", || {
        // An error means that the buffers are full, or that the connection has ended.
        while matches!(stream.write(gets.as_bytes()), Ok(1..)) {}
        most = most.max(server.server().inflight());
        server.active() == 0
    });
    assert!(start.elapsed() >= Duration::from_secs(30), "ended after {:?}", start.elapsed());
    assert!(most < 2 * 1024 * 1024, "{most} bytes were held for it");
    wait_until("nothing is in flight", || server.server().inflight() == 0);
}

#[test]
fn who_has_said_all_and_hung_up_gives_back_the_memory_that_others_wait_for() {
    let server = small();
    let clients = logged_in(&server);
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            let go = &go;
            scope.spawn(move || {
                let request = put(number);
                client.stream.get_ref().set_write_timeout(Some(MAX_WAIT)).unwrap();
                client.send(&request[..VALUE]);
                wait_until("the test goes on", || go.load(Ordering::Relaxed));
                client.send(&request[VALUE..]);
                // The server has an end of file to read, without memory for it.
                client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
                assert_eq!(client.answer(), json!({"status": "OK", "message": "OK"}));
                client.expect_end();
            });
        }
        wait_until("reading pauses", || server.server().inflight() >= MOST / 2);
        go.store(true, Ordering::Relaxed);
    });
    server.wait_until_active(0);
    wait_until("nothing is in flight", || server.server().inflight() == 0);
}

const TINY: ClientSettings = ClientSettings { max_request: 64 * 1024, max_inflight: 1 << 20, ..DEFAULTS };

/// The number of connections that ended for this reason.
fn closed(server: &TestServer, ending: Ending) -> u64 {
    let counts = server.server().counters().read();
    counts.endings.iter().find(|(of, _)| *of == ending).unwrap().1
}

/// Small requests of all kinds, and logins, are served.
fn expect_service(server: &TestServer, good: &mut Client) {
    for number in 0..20 {
        good.put("k", &number.to_string());
        let answer = good.ask(&json!({"type": "GET", "key": "k"}));
        assert_eq!(answer, json!({"status": "OK", "value": number.to_string()}));
        drop(server.admin());
    }
}

#[test]
fn parts_of_requests_hold_up_no_small_request_and_give_way_to_a_large_one() {
    let server = TestServer::with_settings(100, TINY);
    let mut good = server.admin_in_space();
    let mut bad: Vec<_> = (0..24).map(|_| server.admin()).collect();
    for client in &mut bad {
        client.send(format!("{{\"type\":\"PUT\",\"key\":\"k\",\"value\":\"{}", "x".repeat(58_000)));
    }
    wait_until("some wait for memory", || server.server().counters().read().waiting > 0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let tricklers: Vec<_> =
            bad.iter().map(|client| client.stream.get_ref().try_clone().unwrap()).collect();
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // Some have been disconnected meanwhile.
                tricklers.iter().for_each(|mut trickler| drop(trickler.write_all(b"x")));
                thread::sleep(Duration::from_millis(100));
            }
        });
        expect_service(&server, &mut good);
        // More than one read: it needs memory that the other clients hold.
        good.put("large", &"v".repeat(60_000));
        expect_service(&server, &mut good);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(server.server().counters().read().pauses >= 1);
    assert!(closed(&server, Ending::TooSlow) >= 1);
    let told = "request too slow: it must come to its end within 60s, and sooner while the server is short of memory";
    let mut told_so = 0;
    for client in &mut bad {
        client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut line = String::new();
        if std::io::BufRead::read_line(&mut client.stream, &mut line).is_ok() && !line.is_empty() {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), error(told));
            told_so += 1;
        }
    }
    assert!(told_so >= 1, "nobody was told");
    drop(bad);
    drop(good);
    server.wait_until_active(0);
    wait_until("nothing is in flight", || server.server().inflight() == 0);
    assert_eq!(server.server().counters().read().waiting, 0);
}

#[test]
fn half_logins_hold_up_nobody_and_have_their_timeout_while_they_wait_for_memory() {
    let server = TestServer::with_settings(300, TINY);
    let mut good = server.admin_in_space();
    let mut half: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut half {
        client.send(format!("{{\"username\":\"{}", "x".repeat(12_000)));
    }
    wait_until("some wait for memory", || server.server().counters().read().waiting > 0);
    expect_service(&server, &mut good);
    good.put("large", &"v".repeat(60_000));
    server.settings.send_replace(ClientSettings { login_timeout: Duration::from_millis(300), ..TINY });
    server.wait_until_active(1);
    expect_service(&server, &mut good);
    wait_until("nothing is in flight", || server.server().inflight() == 0);
}

#[test]
fn answers_that_are_not_read_hold_up_no_small_request() {
    let server = TestServer::with_settings(100, TINY);
    let mut good = server.admin_in_space();
    good.put("large", &"v".repeat(60_000));
    let mut bad: Vec<_> = (0..24).map(|_| server.admin()).collect();
    for client in &mut bad {
        client.send("{\"type\":\"GET\",\"space\":\"s\",\"key\":\"large\"}\n".repeat(300));
    }
    wait_until("answers have piled up", || server.server().inflight() > TINY.max_inflight / 2);
    expect_service(&server, &mut good);
    drop(bad);
    server.wait_until_active(1);
}

#[test]
fn a_request_has_a_time_to_come_to_its_end_however_it_trickles_in() {
    let server = TestServer::with_settings(
        10,
        ClientSettings { request_timeout: Duration::from_millis(500), ..DEFAULTS },
    );
    let mut good = server.admin_in_space();
    let mut slow = server.admin();
    let mut typist = slow.stream.get_ref().try_clone().unwrap();
    let typing = thread::spawn(move || {
        let start = Instant::now();
        while typist.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
            assert!(start.elapsed() < MAX_WAIT, "it is never ended");
        }
    });
    assert!(slow.line().unwrap().contains("request too slow: it must come to its end within 500ms"));
    typing.join().unwrap();
    server.wait_until_active(1);
    assert_eq!(closed(&server, Ending::TooSlow), 1);
    good.put("still", "here");
}
