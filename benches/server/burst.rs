//! Short connections: a fixed number at a time, each opened, answered and closed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use memchr::{memchr, memmem};

use crate::figures::{CPU, Figures, RATE, latencies, micros, record};
use crate::poll::Poll;
use crate::socket;
use crate::usage::Meter;

/// How long one connection may take.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What every client does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script<'a> {
    /// Sent as soon as the connection is there.
    pub(crate) send: &'a [u8],
    /// What the answer must contain.
    pub(crate) expect: &'a [u8],
    /// Whether the server closes after its answer, and the client waits for that, or the client does.
    pub(crate) server_closes: bool,
}

/// A client that is disconnected as soon as it has sent something.
pub(crate) const BAD_LINE: Script<'static> =
    Script { send: b"x\n", expect: b"\"status\":\"ERROR\"", server_closes: true };

/// The number of clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) at_a_time: usize,
    pub(crate) total: u64,
    /// When to start no more, whatever `total` is.
    pub(crate) at_most: Duration,
}

/// The outcome of all clients.
pub(crate) struct Outcome {
    /// From the connect call to the end, for all.
    pub(crate) latency: Histogram<u64>,
    pub(crate) done: u64,
    /// Whole and expected answers.
    pub(crate) answered: u64,
    /// Ended without a whole answer.
    pub(crate) lost: u64,
    /// Ended in a reset, before the answer or after it.
    pub(crate) resets: u64,
    /// Answered with something else, not connected, or too slow.
    pub(crate) failed: u64,
    /// An example of those.
    pub(crate) sample: Option<String>,
    pub(crate) took: Duration,
}

/// One of the connections that are open at a time.
struct Client {
    socket: Option<TcpStream>,
    begin: Instant,
    sent: usize,
    answer: Vec<u8>,
}

/// How a connection ended.
enum End {
    Answered,
    /// After the whole answer, but with a reset.
    Reset,
    LostToReset,
    LostToEof,
    Failed(ErrorKind),
}

/// Runs the clients, and measures the cost for the server.
pub(crate) fn measure(
    server: SocketAddr,
    pid: u32,
    script: Script<'_>,
    size: Size,
) -> Result<(Outcome, Figures)> {
    let meter = Meter::start(pid)?;
    let outcome = run(server, script, size)?;
    let used = meter.stop()?;
    ensure!(outcome.done > 0, "no connection came to an end");
    let mut figures = Figures::default()
        .with(RATE, outcome.done as f64 / outcome.took.as_secs_f64())
        .with_latency(&outcome.latency)
        .with(CPU, micros(used.server) / outcome.done as f64);
    figures.others = Some(used.others);
    Ok((outcome, figures))
}

/// Runs the clients.
pub(crate) fn run(server: SocketAddr, script: Script<'_>, size: Size) -> Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut clients: Vec<Client> = (0..size.at_a_time).map(|_| Client::new()).collect();
    let mut idle: Vec<usize> = (0..size.at_a_time).collect();
    let mut outcome = Outcome::new();
    let mut buffer = vec![0; 64 * 1024];
    let begin = Instant::now();
    let mut started = 0;
    let mut last_look = begin;
    loop {
        while started < size.total && begin.elapsed() < size.at_most {
            let Some(index) = idle.pop() else { break };
            started += 1;
            clients[index].start(server, &poll, index)?;
        }
        if idle.len() == clients.len() {
            break;
        }
        for index in poll.wait(Duration::from_millis(50))? {
            let client = &mut clients[index];
            if let Some(end) = client.go_on(script, &mut buffer) {
                outcome.count(client, end, script.expect);
                idle.push(index);
            }
        }
        if last_look.elapsed() > Duration::from_millis(100) {
            last_look = Instant::now();
            for (index, client) in clients.iter_mut().enumerate() {
                if client.socket.is_some() && client.begin.elapsed() > MAX_WAIT {
                    outcome.count(client, End::Failed(ErrorKind::TimedOut), script.expect);
                    idle.push(index);
                }
            }
        }
    }
    outcome.took = begin.elapsed();
    Ok(outcome)
}

impl Client {
    fn new() -> Self {
        Self { socket: None, begin: Instant::now(), sent: 0, answer: Vec::with_capacity(512) }
    }

    fn start(&mut self, server: SocketAddr, poll: &Poll, index: usize) -> Result<()> {
        self.begin = Instant::now();
        (self.sent, self.socket) = (0, None);
        self.answer.clear();
        let socket = socket::begin(server)?;
        poll.add(&socket, index)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Does what can be done now. `None`: not finished yet.
    fn go_on(&mut self, script: Script<'_>, buffer: &mut [u8]) -> Option<End> {
        let socket = self.socket.as_mut()?;
        while self.sent < script.send.len() {
            match socket.write(&script.send[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return None;
                }
                // The server may have answered and closed already: its answer is still to be read.
                Err(_) => self.sent = script.send.len(),
            }
        }
        loop {
            match socket.read(buffer) {
                Ok(0) if whole(&self.answer) => return Some(End::Answered),
                Ok(0) => return Some(End::LostToEof),
                Ok(received) => {
                    self.answer.extend_from_slice(&buffer[..received]);
                    if !script.server_closes && whole(&self.answer) {
                        return Some(End::Answered);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return None,
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return Some(if whole(&self.answer) { End::Reset } else { End::LostToReset });
                    }
                    other => return Some(End::Failed(other)),
                },
            }
        }
    }
}

impl Outcome {
    fn new() -> Self {
        Self {
            latency: latencies(),
            done: 0,
            answered: 0,
            lost: 0,
            resets: 0,
            failed: 0,
            sample: None,
            took: Duration::ZERO,
        }
    }

    /// # Errors
    /// A client was not answered as it should have been.
    pub(crate) fn all_answered(&self) -> Result<()> {
        let sample = self.sample.as_deref().unwrap_or("no answer");
        ensure!(self.answered == self.done, "{} of {} answered, one got: {sample}", self.answered, self.done);
        Ok(())
    }

    fn count(&mut self, client: &mut Client, end: End, expect: &[u8]) {
        record(&mut self.latency, client.begin.elapsed());
        client.socket = None;
        self.done += 1;
        self.resets += u64::from(matches!(end, End::Reset | End::LostToReset));
        match end {
            End::Answered | End::Reset if memmem::find(&client.answer, expect).is_some() => {
                self.answered += 1
            }
            End::Answered | End::Reset => {
                self.failed += 1;
                self.sample.get_or_insert_with(|| String::from_utf8_lossy(&client.answer).into_owned());
            }
            End::LostToReset | End::LostToEof => self.lost += 1,
            End::Failed(kind) => {
                self.failed += 1;
                self.sample.get_or_insert_with(|| kind.to_string());
            }
        }
    }
}

fn whole(answer: &[u8]) -> bool {
    memchr(b'\n', answer).is_some()
}
