//! Hostile clients of every kind at once, each of which takes all it can get.
//!
//! Each kind has its own address, so that the server does not confuse it with the good clients. The benchmark
//! uses this file, too.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The longest that a hostile client waits for an answer, or for room to send.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The means of hostile clients: one account can write to the space `s`, where the key `large` has a large
/// value; another account is their target.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) server: SocketAddr,
    /// The login line of their own account.
    pub(crate) login: String,
    /// The name of the account that they attack.
    pub(crate) victim: String,
}

/// All hostile clients, until the value is dropped.
pub(crate) struct Hostile {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hostile {
    pub(crate) fn begin(means: &Means) -> Self {
        let kinds: [fn(&Means, &AtomicBool); 6] =
            [begin_requests, half_logins, guess, guess, hang_up, never_read];
        let over = Arc::new(AtomicBool::new(false));
        let spawn = |kind: fn(&Means, &AtomicBool)| {
            let (means, over) = (means.clone(), Arc::clone(&over));
            thread::spawn(move || kind(&means, &over))
        };
        let threads = kinds.into_iter().map(spawn).collect();
        Self { over, threads }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// Begins 24 large requests and completes none: sends a byte now and then.
fn begin_requests(means: &Means, over: &AtomicBool) {
    let begun =
        format!("{{\"type\":\"PUT\",\"space\":\"s\",\"key\":\"k\",\"value\":\"{}", "y".repeat(58_000));
    let open = || {
        let mut client = Bad::connect(1, means)?;
        client.send(&means.login)?;
        client.line()?;
        client.send(&begun)?;
        Ok(client)
    };
    hold(24, over, open, |client| client.send("y"));
}

/// Holds 200 connections with half a login line.
fn half_logins(means: &Means, over: &AtomicBool) {
    let half = format!("{{\"username\":\"{}\",\"password\":\"{}", means.victim, "z".repeat(15_000));
    let open = || {
        let mut client = Bad::connect(2, means)?;
        client.send(&half)?;
        Ok(client)
    };
    hold(200, over, open, |client| client.send("z"));
}

/// Tries passwords, and waits for each answer.
fn guess(means: &Means, over: &AtomicBool) {
    let line = format!("{{\"username\":\"{}\",\"password\":\"wrong\"}}\n", means.victim);
    while !over.load(Ordering::Relaxed) {
        let tried = || {
            let mut client = Bad::connect(3, means)?;
            client.send(&line)?;
            client.line()
        };
        // Rejected or disconnected: the next attempt follows at once.
        tried().ok();
    }
}

/// Logs in, a thousand times a second, and does not wait for the answer.
fn hang_up(means: &Means, over: &AtomicBool) {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        number += 1;
        let line = format!("{{\"username\":\"{}\",\"password\":\"wrong {number}\"}}\n", means.victim);
        Bad::connect(4, means).and_then(|mut client| client.send(&line)).ok();
        thread::sleep(Duration::from_millis(1));
    }
}

/// Requests much and reads nothing, on 8 connections.
fn never_read(means: &Means, over: &AtomicBool) {
    let requests = "{\"type\":\"GET\",\"space\":\"s\",\"key\":\"large\"}\n".repeat(200);
    let open = || {
        let mut client = Bad::connect(5, means)?;
        client.send(&means.login)?;
        client.send(&requests)?;
        Ok(client)
    };
    hold(8, over, open, |_| Ok(()));
}

/// Keeps `count` connections open, and does something with each now and then.
fn hold(
    count: usize,
    over: &AtomicBool,
    open: impl Fn() -> io::Result<Bad>,
    go_on: impl Fn(&mut Bad) -> io::Result<()>,
) {
    let mut held: Vec<Option<Bad>> = (0..count).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for place in &mut held {
            let goes_on = place.as_mut().is_some_and(|client| go_on(client).is_ok());
            if !goes_on {
                *place = open().ok();
            }
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// One connection.
struct Bad(BufReader<TcpStream>);

impl Bad {
    fn connect(last: u8, means: &Means) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 2, last), 0)).into())?;
        socket.connect(&means.server.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(MAX_WAIT))?;
        stream.set_write_timeout(Some(MAX_WAIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_bytes())
    }

    fn line(&mut self) -> io::Result<()> {
        self.0.read_line(&mut String::new()).map(drop)
    }
}
