//! The memory of all requests in flight is bounded, and nothing is lost for it.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use shibudb::server::ClientSettings;

use crate::house::{Client, DEFAULTS, House, PATIENCE, wait_until, wait_until_for};

const MOST: usize = 4 * 1024 * 1024;
const VALUE: usize = 200 * 1024;
const CLIENTS: usize = 60;

fn small() -> House {
    House::with_settings(100, ClientSettings { max_request: 256 * 1024, max_inflight: MOST, ..DEFAULTS })
}

fn logged_in(house: &House) -> Vec<Client> {
    let mut first = house.admin_in_space();
    first.put("ready", "yes");
    let mut clients = vec![first];
    while clients.len() < CLIENTS {
        let mut client = house.admin();
        client.expect_ok(&json!({"type": "USE_SPACE", "space": "s"}), "SPACE_CHANGED");
        clients.push(client);
    }
    clients
}

fn put(number: usize) -> String {
    let value = char::from(b'a' + u8::try_from(number % 26).unwrap()).to_string().repeat(VALUE);
    format!("{}\n", json!({"type": "PUT", "key": number.to_string(), "value": value}))
}

/// Watches, until it is told to stop, that the bound is kept, and says how much there was at most.
fn most_inflight(house: &House, stop: &AtomicBool) -> usize {
    let mut most = 0;
    while !stop.load(Ordering::Relaxed) {
        most = most.max(house.server().inflight());
        thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn sixty_large_requests_at_once_are_read_one_after_another_and_all_are_answered() {
    let house = small();
    let clients = logged_in(&house);
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let most = scope.spawn(|| most_inflight(&house, &stop));
        // Each sends all but the end of its request: together three times what may be in flight.
        let senders: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut client)| {
                let go = &go;
                scope.spawn(move || {
                    let request = put(number);
                    client.stream.get_ref().set_write_timeout(Some(PATIENCE)).unwrap();
                    client.send(&request[..VALUE]);
                    wait_until("the test goes on", || go.load(Ordering::Relaxed));
                    client.send(&request[VALUE..]);
                    assert_eq!(client.answer(), json!({"status": "OK", "message": "OK"}));
                    client
                })
            })
            .collect();
        wait_until("reading pauses", || house.server().inflight() >= MOST / 2);
        let read: u64 = house.roster().iter().map(|connection| connection.bytes_in).sum();
        assert!(read < (CLIENTS * VALUE) as u64, "all was read");
        // Who has nothing to do with it is served as ever, and nobody was sent away.
        house.probe();
        assert_eq!(house.active(), u32::try_from(CLIENTS).unwrap());
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
    wait_until("nothing is in flight", || house.server().inflight() == 0);
}

#[test]
fn whoever_reads_nothing_of_its_answers_is_ended_and_holds_little_until_then() {
    let house = small();
    let mut client = house.admin_in_space();
    client.put("k", &"v".repeat(VALUE));
    let start = Instant::now();
    let mut stream = client.stream.get_ref().try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let gets = "{\"type\":\"GET\",\"key\":\"k\"}\n".repeat(200);
    let mut most = 0;
    // It asks and asks, as far as the kernel takes it, and reads nothing.
    wait_until_for(Duration::from_secs(60), "it is ended", || {
        // An error says that there is no room, or that it is over.
        while matches!(stream.write(gets.as_bytes()), Ok(1..)) {}
        most = most.max(house.server().inflight());
        house.active() == 0
    });
    assert!(start.elapsed() >= Duration::from_secs(30), "ended after {:?}", start.elapsed());
    assert!(most < 2 * 1024 * 1024, "{most} bytes were held for it");
    wait_until("nothing is in flight", || house.server().inflight() == 0);
}

#[test]
fn who_has_said_all_and_hung_up_gives_back_the_memory_that_others_wait_for() {
    let house = small();
    let clients = logged_in(&house);
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            let go = &go;
            scope.spawn(move || {
                let request = put(number);
                client.stream.get_ref().set_write_timeout(Some(PATIENCE)).unwrap();
                client.send(&request[..VALUE]);
                wait_until("the test goes on", || go.load(Ordering::Relaxed));
                client.send(&request[VALUE..]);
                // There is an end of file to be read, for which there is no memory either.
                client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
                assert_eq!(client.answer(), json!({"status": "OK", "message": "OK"}));
                client.expect_end();
            });
        }
        wait_until("reading pauses", || house.server().inflight() >= MOST / 2);
        go.store(true, Ordering::Relaxed);
    });
    house.wait_until_active(0);
    wait_until("nothing is in flight", || house.server().inflight() == 0);
}
