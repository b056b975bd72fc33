//! Connections that race changes of the limit: no client is admitted beyond it, and every connection is released.
//!
//! 20,000 connections and 200 changes, or as many as `SHIBUDB_RACE_CONNECTIONS` and
//! `SHIBUDB_RACE_CHANGES` say.

use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::alone;
use crate::harness::{Client, PASSWORD, Server, Setup, sandbox};

const CLIENTS: usize = 48;
const LOWEST: u64 = 8;
const HIGHEST: u64 = 40;

/// The ports used with one source address before the next one.
const PORTS: u32 = 60_000;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// Events, as seen by clients.
#[derive(Default)]
struct Race {
    /// Connections begun so far. Each has a unique address and port, so none waits for the network to
    /// forget another.
    begun: AtomicU32,
    turned_away: AtomicU64,
    changes: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
    /// Logins that were answered OK, minus those that have begun to leave. Never more than the real number.
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    now: u64,
    most: u64,
    in_total: u64,
}

#[test]
fn connections_race_changes_of_the_limit() {
    let _alone = alone();
    // A network of its own, for a million addresses.
    sandbox::enter(|_| {
        let connections = from_environment("SHIBUDB_RACE_CONNECTIONS", 20_000);
        let changes = from_environment("SHIBUDB_RACE_CHANGES", 200);
        let server = Setup::new().limit(20).start();
        server.admin();
        let race = Race::default();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| come_and_go(&server, &race, u32::try_from(connections).unwrap())))
                .collect();
            scope.spawn(|| move_the_limit(&server, &race, connections, changes));
            scope.spawn(|| look(&server, &race));
            clients.into_iter().for_each(|client| client.join().unwrap());
            race.over.store(true, Ordering::SeqCst);
        });
        let took = start.elapsed();
        let Inside { most, in_total, .. } = race.inside.into_inner().unwrap();
        let [turned_away, changed, refused] =
            [&race.turned_away, &race.changes, &race.refused].map(|count| count.load(Ordering::SeqCst));
        assert!(most <= HIGHEST, "{most} inside, and the limit was never above {HIGHEST}");
        assert_eq!(in_total + turned_away, connections);
        server.wait_until_active(0);
        let limit = server.limit();
        let inside: Vec<_> = (0..limit).map(|_| server.admin()).collect();
        assert!(server.connect().line().unwrap().contains("Server at maximum capacity"));
        drop(inside);
        println!(
            "{connections} connections ({in_total} let in, {turned_away} turned away) raced {} changes of the limit \
             ({changed} applied, {refused} refused) for {took:.1?}: 0 let in beyond the limit, at most {most} \
             inside, 0 places leaked",
            changed + refused
        );
    });
}

fn come_and_go(server: &Server, race: &Race, connections: u32) {
    loop {
        let number = race.begun.fetch_add(1, Ordering::SeqCst);
        if number >= connections {
            return;
        }
        let mut client = Client::of(connect(server.address(), number));
        let answer = client.ask(&json!({"username": "admin", "password": PASSWORD}));
        if answer["status"] != "OK" {
            assert!(is_full(&answer), "{answer}");
            race.turned_away.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        {
            let mut inside = race.inside.lock().unwrap();
            inside.now += 1;
            inside.in_total += 1;
            inside.most = inside.most.max(inside.now);
        }
        std::thread::sleep(Duration::from_micros(u64::from(number % 7) * 100));
        race.inside.lock().unwrap().now -= 1;
        match number % 3 {
            0 => SockRef::from(client.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => client.stream.get_ref().shutdown(Shutdown::Write).unwrap(),
            _ => client.send("{\"type\":\"LIST_SPACES\"}\n"),
        }
    }
}

fn is_full(answer: &Value) -> bool {
    answer["message"].as_str().is_some_and(|message| message.starts_with("Server at maximum capacity ("))
}

fn connect(address: SocketAddr, number: u32) -> std::net::TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / PORTS).unwrap());
    let port = u16::try_from(1024 + number % PORTS).unwrap();
    socket.bind(&SocketAddr::from((source, port)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_read_timeout(Some(crate::harness::MAX_WAIT)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// Makes this many changes, spread over all connections, and checks the effect of each reply.
fn move_the_limit(server: &Server, race: &Race, connections: u64, changes: u64) {
    for number in 0..changes {
        while u64::from(race.begun.load(Ordering::SeqCst)) * changes < number * connections
            && !race.over.load(Ordering::SeqCst)
        {
            std::thread::sleep(Duration::from_micros(200));
        }
        let limit = LOWEST + (number * 7919) % (HIGHEST - LOWEST + 1);
        let reply = server.put("/limit", &format!(r#"{{"limit":{limit}}}"#));
        match reply.status {
            200 => {
                assert_eq!(server.limit(), limit, "a reply means applied");
                race.changes.fetch_add(1, Ordering::SeqCst)
            }
            409 => race.refused.fetch_add(1, Ordering::SeqCst),
            status => panic!("{status}: {}", reply.body),
        };
    }
}

/// Compares the server's numbers with those of the clients. While no client can be counted or begin to
/// leave, all counted ones are connected.
fn look(server: &Server, race: &Race) {
    while !race.over.load(Ordering::SeqCst) {
        {
            let inside = race.inside.lock().unwrap();
            let stats = server.get("/stats").json();
            let [active, limit] =
                ["active_connections", "max_connections"].map(|field| stats[field].as_u64().unwrap());
            assert!(inside.now <= active, "{} are inside, and {active} are said to be", inside.now);
            assert!(active <= limit, "{active} active with a limit of {limit}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
