//! After a restart every pool reconnects at once: all log in soon, and open sessions are not slowed down.
//! Nor do clients with wrong passwords slow down any of them.
//!
//! The tests assert that every client is answered, and print the times (`--nocapture`). The goal is 2 seconds for the
//! pool, and 50 ms for a request of an open session at the 99th percentile.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::alone;
use crate::harness::{Client, MAX_WAIT, Server, Setup, Times, within};

const POOL: usize = 500;
/// Sessions that send requests meanwhile.
const OPEN: usize = 8;

const ALL_IN: Duration = Duration::from_secs(2);
const PERCENTILE_99: Duration = Duration::from_millis(50);

fn user(username: &str, password: &str) -> serde_json::Value {
    let permissions = json!({"s": "write"});
    json!({"username": username, "password": password, "role": "user", "permissions": permissions})
}

/// A server that has just been restarted, with a space and users from before.
fn restarted() -> Server {
    let mut server = Setup::new().limit(1000).start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    for username in ["pool", "at work"] {
        admin
            .expect_ok(&json!({"type": "CREATE_USER", "new_user": user(username, "secret")}), "USER_CREATED");
    }
    server.kill();
    server.start_again();
    server
}

/// Starts 500 logins at once, and returns the time until the last has succeeded.
fn stampede(server: &Server) -> Duration {
    let login = format!("{}\n", json!({"username": "pool", "password": "secret"}));
    let start = Instant::now();
    let mut pool: Vec<_> = (0..POOL).map(|_| server.connect()).collect();
    for client in &mut pool {
        client.send(&login);
    }
    for client in &mut pool {
        let answer = client.line().unwrap();
        assert!(answer.starts_with(r#"{"status":"OK""#), "{answer}");
    }
    let took = start.elapsed();
    for client in &mut pool {
        client.expect_ok(&json!({"type": "PUT", "space": "s", "key": "k", "value": "v"}), "OK");
    }
    took
}

/// Ends the background threads, also when the test fails: otherwise the join would wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends requests until the end, and returns the time of each.
fn work(mut client: Client, over: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.ask(&json!({"type": "GET", "space": "s", "key": "k"}));
        took.push(start.elapsed());
        assert!(answer["status"] == "OK" || answer["message"] == "key not found", "{answer}");
        // As a program with other work does.
        std::thread::sleep(Duration::from_millis(1));
    }
    took
}

/// Wrong passwords for existing and missing users, from a separate address.
fn guess(server: SocketAddr, address: Ipv4Addr, over: &AtomicBool) -> u64 {
    let mut guesses = 0;
    while !over.load(Ordering::Relaxed) {
        let username = ["pool", "nobody"][usize::try_from(guesses % 2).unwrap()];
        let mut client = connect_from(address, server);
        client.send(format!("{}\n", json!({"username": username, "password": format!("guess {guesses}")})));
        let answer = client.line().unwrap();
        assert_eq!(answer, r#"{"status":"ERROR","message":"authentication failed"}"#);
        guesses += 1;
    }
    guesses
}

fn connect_from(address: Ipv4Addr, server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
    Client::of(stream)
}

/// Runs a stampede beside busy sessions and `guessers` clients that try wrong passwords.
fn all_are_in_and_nobody_is_held_up(guessers: u8) {
    let _alone = alone();
    let server = restarted();
    let over = AtomicBool::new(false);
    let (all_in, took, guesses) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..OPEN)
            .map(|_| server.login("at work", "secret"))
            .map(|client| scope.spawn(|| work(client, &over)))
            .collect();
        let guessers: Vec<_> = (0..guessers)
            .map(|n| Ipv4Addr::new(127, 0, 1, n))
            .map(|address| {
                scope.spawn({
                    let (server, over) = (server.address(), &over);
                    move || guess(server, address, over)
                })
            })
            .collect();
        let end = Over(&over);
        let all_in = stampede(&server);
        drop(end);
        let took: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        let guesses: u64 = guessers.into_iter().map(|guesser| guesser.join().unwrap()).sum();
        (all_in, took, guesses)
    });
    let mut took = Times(took);
    println!("meanwhile {guesses} wrong passwords");
    took.report("requests of open sessions");
    within("99 % of requests of open sessions", took.percentile(99), PERCENTILE_99);
    within(&format!("{POOL} logins"), all_in, ALL_IN);
}

#[test]
fn a_pool_that_reconnects_after_a_restart_is_in_at_once() {
    all_are_in_and_nobody_is_held_up(0);
}

#[test]
fn wrong_passwords_meanwhile_hold_nobody_up() {
    all_are_in_and_nobody_is_held_up(4);
}

/// One program of this machine keeps trying a wrong password: the others of this machine wait for one turn,
/// together.
#[test]
fn a_neighbour_with_a_wrong_password_does_not_lock_a_pool_out() {
    let _alone = alone();
    let server = restarted();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| guess(server.address(), Ipv4Addr::LOCALHOST, &over));
        let end = Over(&over);
        // Until it is slowed down.
        crate::harness::wait_until("the neighbour is slowed", || {
            server.log().contains("further attempts are delayed")
        });
        let took = stampede(&server);
        drop(end);
        println!("{POOL} logins in {took:.0?} beside {} of a neighbour's", neighbour.join().unwrap());
    });
}
