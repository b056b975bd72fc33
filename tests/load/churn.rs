//! The limit holds while everything moves: clients come and go at random, and operators move the
//! limit through several doors at once.

use std::io::Read;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::harness::{Client, PASSWORD, Server, Setup, Signal, wait_until};

const CLIENTS: u64 = 16;
const LENGTH: Duration = Duration::from_secs(20);

/// The range in which the limit is set. Steps may leave it.
const LOWEST: u64 = 4;
const HIGHEST: u64 = 60;
const STEP: u64 = 5;

/// The most connections that each client holds. Together they exceed the limit.
const HELD: usize = 8;

/// A generator of numbers that are random enough, and the same in every run.
struct Dice(u64);

/// The admitted connections, as seen by clients.
#[derive(Default)]
struct Admitted {
    /// Logins that were answered OK, minus those that have begun to leave. Never more than the real number.
    now: u64,
    most: u64,
    in_total: u64,
    turned_away: u64,
}

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn never_more_than_the_limit_are_admitted_and_every_place_comes_back() {
    let server = Setup::new().limit(20).config(format!("[limits]\nsignal_step = {STEP}\n")).start();
    // The first login of an account is the expensive one.
    server.admin();
    let over = AtomicBool::new(false);
    let admitted = Mutex::new(Admitted::default());
    std::thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (server, over, admitted) = (&server, &over, &admitted);
            scope.spawn(move || come_and_go(server, Dice(seed), over, admitted));
        }
        for seed in 0..3 {
            let (server, over) = (&server, &over);
            scope.spawn(move || set_at_random(server, Dice(1000 + seed), over));
        }
        scope.spawn(|| signal_at_random(&server, Dice(2000), &over));
        scope.spawn(|| look(&server, &over, &admitted));
        std::thread::sleep(LENGTH);
        over.store(true, Ordering::Relaxed);
    });
    let Admitted { most, in_total, turned_away, .. } = admitted.into_inner().unwrap();
    println!("{in_total} admitted, {most} at once, {turned_away} turned away");
    assert!(in_total > 10 && turned_away > 10, "{in_total} admitted, {turned_away} turned away");
    exactly_the_limit_fits(&server);
}

/// Connects and disconnects until the end of the test; then closes every connection.
fn come_and_go(server: &Server, mut dice: Dice, over: &AtomicBool, admitted: &Mutex<Admitted>) {
    let mut held: Vec<Client> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        if held.len() < HELD && dice.below(2) == 0 {
            held.extend(come(server, admitted));
        } else if !held.is_empty() {
            let client = held.swap_remove(usize::try_from(dice.below(held.len() as u64)).unwrap());
            leave(client, &mut dice, admitted);
        }
    }
    for client in held {
        leave(client, &mut dice, admitted);
    }
}

fn come(server: &Server, admitted: &Mutex<Admitted>) -> Option<Client> {
    let mut client = server.connect();
    let answer = client.ask(&json!({"username": "admin", "password": PASSWORD}));
    let mut admitted = admitted.lock().unwrap();
    if answer["status"] == "OK" {
        admitted.now += 1;
        admitted.in_total += 1;
        admitted.most = admitted.most.max(admitted.now);
        Some(client)
    } else {
        let message = answer["message"].as_str().unwrap();
        assert!(message.starts_with("Server at maximum capacity ("), "{message}");
        admitted.turned_away += 1;
        None
    }
}

/// Ends a connection in a random way.
fn leave(mut client: Client, dice: &mut Dice, admitted: &Mutex<Admitted>) {
    admitted.lock().unwrap().now -= 1;
    match dice.below(4) {
        // With an answer in flight.
        0 => client.send("{\"type\":\"LIST_SPACES\"}\n"),
        // In the middle of a request.
        1 => client.send("{\"type\":\"PUT\",\"key\":\"k"),
        // With a reset instead of an end.
        2 => socket2::SockRef::from(client.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap(),
        // Cleanly, and waiting until the server has closed its side, too.
        _ => {
            client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
            client.stream.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

/// Changes the limit through HTTP. Only limits below the active connections are refused.
fn set_at_random(server: &Server, mut dice: Dice, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let amount = format!(r#"{{"amount":{}}}"#, 1 + dice.below(STEP));
        let reply = match dice.below(4) {
            0 => server.post("/limit/increase", &amount),
            1 => server.post("/limit/decrease", &amount),
            _ => server.put("/limit", &format!(r#"{{"limit":{}}}"#, LOWEST + dice.below(HIGHEST - LOWEST))),
        };
        match reply.status {
            200 => {}
            // A decrease may also end at zero or below.
            400 => assert_eq!(reply.error(), "connection limit must be positive"),
            409 => assert!(reply.error().contains(" connections are active"), "{}", reply.body),
            _ => panic!("{}: {}", reply.status, reply.body),
        }
    }
}

/// Changes the limit by signals. Each has its record before the next is sent, so none is merged with
/// another, and none is pending at the end.
fn signal_at_random(server: &Server, mut dice: Dice, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let sent = Timestamp::now();
        server.signal(if dice.below(2) == 0 { Signal::USR1 } else { Signal::USR2 });
        wait_until("the signal has its record", || {
            let history = server.get("/history?limit=1000").json();
            history["changes"].as_array().unwrap().iter().any(|change| {
                // Similar refusals share one record, which has the time of the last as well.
                let time = change["last_time"].as_str().or(change["time"].as_str()).unwrap();
                change["door"] == "signal" && time.parse::<Timestamp>().unwrap() >= sent
            })
        });
    }
}

/// Compares the server's numbers with those of the clients. While no client can be counted or begin to
/// leave, all counted ones are open.
fn look(server: &Server, over: &AtomicBool, admitted: &Mutex<Admitted>) {
    while !over.load(Ordering::Relaxed) {
        {
            let admitted = admitted.lock().unwrap();
            let stats = server.get("/stats").json();
            let (active, limit) = (stats["active_connections"].as_u64(), stats["max_connections"].as_u64());
            let (active, limit) = (active.unwrap(), limit.unwrap());
            assert!(admitted.now <= active, "{} are inside, and {active} are said to be", admitted.now);
            assert!(active <= limit, "{active} active with a limit of {limit}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn exactly_the_limit_fits(server: &Server) {
    server.wait_until_active(0);
    let limit = server.limit();
    let inside: Vec<_> = (0..limit).map(|_| server.admin()).collect();
    let rejection = server.connect().line().unwrap();
    assert!(rejection.contains(&format!("Server at maximum capacity ({limit} connections)")), "{rejection}");
    assert_eq!(server.active(), limit);
    drop(inside);
    server.wait_until_active(0);
}
