//! Tests of the whole server that cannot be set up from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::auth::{HashCost, PreparedAdmin};
use crate::session::FATAL;
use crate::store::Durability;

/// Longer than anything here takes on the slowest machine.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// A server for `limit` clients, with an admin whose password is `secret`.
async fn serve(limit: u32, workers: usize) -> (Server, TempDir) {
    let (server, admin, dir) = serve_before_its_admin(limit, workers, Duration::from_secs(60)).await;
    admin.create().await.unwrap();
    (server, dir)
}

/// The same, before its admin is created: all logins wait for that.
async fn serve_before_its_admin(
    limit: u32,
    workers: usize,
    login_timeout: Duration,
) -> (Server, PreparedAdmin, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let limit = NonZeroU32::new(limit).unwrap();
    let limiter = Limiter::new(limit, limit).unwrap();
    let store = Store::open(dir.path(), Durability::Always).unwrap();
    let accounts = Accounts::open(store.clone(), HashCost { memory_kib: 8, passes: 1 }).unwrap();
    let admin = accounts.prepare_admin(Some("secret"), dir.path()).await.unwrap().unwrap();
    let settings = ClientSettings {
        login_timeout,
        idle_timeout: None,
        request_timeout: Duration::from_secs(60),
        max_request: 1024,
        max_inflight: 1 << 20,
    };
    // The settings never change, so the sender may be dropped.
    let (_, settings) = watch::channel(settings);
    let services = Services { limiter, store, accounts, settings };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (Server::start_with(listener, services, workers).unwrap(), admin, dir)
}

fn login(server: &Server) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
    let answer = answer(&mut stream);
    assert!(answer.contains("OK"), "{answer}");
    stream
}

fn answer(stream: &mut BufReader<TcpStream>) -> String {
    let mut answer = String::new();
    stream.read_line(&mut answer).unwrap();
    answer
}

async fn wait_until(server: &Server, what: &str, condition: impl Fn(&[ConnectionInfo]) -> bool) {
    let start = Instant::now();
    while !condition(&server.roster().connections().await) {
        assert!(start.elapsed() < MAX_WAIT, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_session_and_no_other_frees_its_place_and_is_counted() {
    let (server, _dir) = serve(2, 1).await;
    let (mut doomed, mut other) = (login(&server), login(&server));
    doomed.get_mut().write_all(&[FATAL, b"\n"].concat()).unwrap();
    assert_eq!(doomed.read(&mut [0; 9]).unwrap(), 0, "it is closed");
    drop(login(&server));
    other.get_mut().write_all(b"x\n").unwrap();
    let answer = answer(&mut other);
    assert!(answer.contains("ERROR"), "{answer}");
    assert_eq!(server.counters().read().panicked, 1);
}

/// The kernel has accepted them, but the server has not when it is told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_to_be_accepted_at_a_stop_are_answered_and_not_reset() {
    const CLIENTS: usize = 100;
    let (server, _dir) = serve(CLIENTS as u32 - 50, 2).await;
    let mut clients = Vec::new();
    let connect = || {
        for _ in 0..CLIENTS {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
            stream.write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
            clients.push(BufReader::new(stream));
        }
    };
    server.stop_accepting_after(connect).await.unwrap();
    assert!(TcpStream::connect(server.address()).is_err(), "the port is closed");
    let drained = server.drain(tokio::time::sleep(MAX_WAIT)).await;
    assert_eq!(drained, Drained { cut: 0 });
    let answers: Vec<_> = clients.iter_mut().map(answer).collect();
    let admitted = answers.iter().filter(|answer| answer.contains("OK")).count();
    assert_eq!(admitted, CLIENTS - 50);
    let rejected = answers.iter().filter(|answer| answer.contains("maximum capacity")).count();
    assert_eq!(rejected, 50, "{answers:?}");
}

/// The second of two workers ends too early.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_worker_that_has_ended() {
    let (mut server, _dir) = serve(10, 2).await;
    let (first, second) = (login(&server), login(&server));
    let roster = server.roster();
    assert_eq!(roster.connections().await.len(), 2);
    server.stop_worker(1);
    assert!(matches!(server.failure().await, ServeError::Ended));

    let all = async {
        let stayed = roster.connections().await;
        assert_eq!(stayed.len(), 1, "the other worker's");
        assert_eq!(roster.end(0).await, None);
        assert!(server.prober().probe(MAX_WAIT).await.is_err());
        assert_eq!(server.active(), 1);
        server.drain(tokio::time::sleep(MAX_WAIT)).await
    };
    let drained = tokio::time::timeout(2 * MAX_WAIT, all).await.expect("nothing waits for ever");
    assert_eq!(drained, Drained { cut: 0 });
    for mut client in [first, second] {
        assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_though_the_worker_that_accepts_has_ended() {
    let (mut server, _dir) = serve(10, 2).await;
    let clients = [login(&server), login(&server)];
    server.stop_worker(0);
    assert!(matches!(server.failure().await, ServeError::Ended));
    let drained = tokio::time::timeout(2 * MAX_WAIT, server.drain(tokio::time::sleep(MAX_WAIT))).await;
    assert_eq!(drained.expect("it does not wait for ever"), Drained { cut: 0 });
    for mut client in clients {
        assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    }
}

fn begin_login(server: &Server) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
    stream.write_all(b"{\"username\":\"admin\",\"password\":\"secret\"}\n").unwrap();
    BufReader::new(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_while_its_login_is_checked_holds_no_place() {
    const LIMIT: u32 = 5;
    let (server, admin, _dir) = serve_before_its_admin(LIMIT, 2, Duration::from_secs(600)).await;
    for hang_up in [false, true] {
        let clients: Vec<_> = (0..LIMIT).map(|_| begin_login(&server)).collect();
        let all_wait = |all: &[ConnectionInfo]| all.iter().filter(|one| one.requests == 1).count() == 5;
        wait_until(&server, "all logins are being checked", all_wait).await;
        if hang_up {
            drop(clients);
        } else {
            for mut client in clients {
                client.get_ref().shutdown(Shutdown::Write).unwrap();
                // A client that reads on gets the error.
                let words = answer(&mut client);
                assert!(words.contains("the login was not checked"), "{words}");
                assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
            }
        }
        wait_until(&server, "all places are free", <[_]>::is_empty).await;
        assert_eq!(server.active(), 0);
    }
    admin.create().await.unwrap();
    drop(login(&server));
    assert_eq!(server.counters().read().panicked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_log_in_counts_while_the_login_waits_to_be_checked() {
    let (server, _admin, _dir) = serve_before_its_admin(5, 1, Duration::from_millis(300)).await;
    let mut client = begin_login(&server);
    let words = answer(&mut client);
    assert!(words.contains("the login could not be checked in time"), "{words}");
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    wait_until(&server, "its place is free", <[_]>::is_empty).await;
}

/// One client never stops between two requests.
#[tokio::test(flavor = "multi_thread")]
async fn when_memory_is_short_whoever_pipelines_lets_the_others_go_on() {
    let (server, _dir) = serve(10, 1).await;
    let (mut endless, mut other) = (login(&server), login(&server));
    let logins: Vec<_> =
        server.roster().connections().await.iter().map(|connection| connection.bytes_in).collect();
    for client in [&mut endless, &mut other] {
        client.get_mut().write_all(b"the beginning of ").unwrap();
    }
    wait_until(&server, "both have begun", |all| {
        all.iter().all(|connection| !logins.contains(&connection.bytes_in))
    })
    .await;
    server.spend(1 << 30);
    let mut answers = endless.get_ref().try_clone().unwrap();
    let mut requests = endless.get_ref().try_clone().unwrap();
    let writing = thread::spawn(move || while requests.write_all(&b"one\nand ".repeat(1000)).is_ok() {});
    let reading = thread::spawn(move || io::copy(&mut answers, &mut io::sink()).ok());
    wait_until(&server, "one goes on", |all| all.iter().any(|connection| connection.requests > 5000)).await;
    other.get_mut().write_all(b"a request\n").unwrap();
    assert!(answer(&mut other).contains("ERROR"));
    endless.get_ref().shutdown(Shutdown::Both).unwrap();
    writing.join().unwrap();
    reading.join().unwrap();
}
