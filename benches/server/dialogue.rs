//! Reads and writes keys: a number of connections, one request in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;

use crate::crowd;
use crate::figures::{CPU, Figures, RATE, WORST, latencies, micros, record};
use crate::language::{Language, Request};
use crate::poll::Poll;
use crate::usage::Meter;

/// The longest time for an answer.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The number of keys, unless stated otherwise.
pub(crate) const KEYS: u64 = 1000;

/// Connections that are logged in, and a space to work in.
pub(crate) struct Dialogue {
    language: Language,
    clients: Vec<Client>,
    poll: Poll,
    buffer: Vec<u8>,
    random: u64,
    done: u64,
}

struct Client {
    socket: TcpStream,
    /// The request whose answer it waits for.
    asked: Option<Request>,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    begin: Instant,
}

/// The requests of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    Gets,
    Puts,
    /// Nine gets to one put.
    Both,
}

impl Dialogue {
    pub(crate) fn open(server: SocketAddr, language: Language, connections: usize) -> Result<Self> {
        if let Some(request) = language.create_space() {
            let answer = crowd::ask(server, &request).context("creating the space of the benchmark")?;
            ensure!(answer.contains("OK") || answer.contains("already exists"), "CREATE_SPACE: {answer}");
        }
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(connections);
        for (index, socket) in crowd::hold(server, connections, language.greeting())?.into_iter().enumerate()
        {
            socket.set_nonblocking(true)?;
            poll.add(&socket, index)?;
            clients.push(Client::new(socket));
        }
        Ok(Self { language, clients, poll, buffer: vec![0; 64 * 1024], random: 42, done: 0 })
    }

    /// Writes every key once, so that they can be read.
    pub(crate) fn fill(&mut self, keys: u64) -> Result<()> {
        let mut next = 0..keys;
        let latency = self.run(Duration::from_secs(3600), &mut |_| next.next().map(Request::Put))?;
        ensure!(latency.len() == keys, "{} of {keys} keys were written", latency.len());
        Ok(())
    }

    /// Measures for `length`, after a warm-up of a tenth of it.
    pub(crate) fn measure(&mut self, pid: u32, mix: Mix, keys: u64, length: Duration) -> Result<Figures> {
        let mut pick = |random: &mut u64| {
            let (number, key) = (next(random), next(random) % keys);
            let get = mix == Mix::Gets || mix == Mix::Both && !number.is_multiple_of(10);
            Some(if get { Request::Get(key) } else { Request::Put(key) })
        };
        self.run(length / 10, &mut pick)?;
        let meter = Meter::start(pid)?;
        let begin = Instant::now();
        let latency = self.run(length, &mut pick)?;
        let took = begin.elapsed().as_secs_f64();
        let used = meter.stop()?;
        let done = latency.len() as f64;
        let mut figures = Figures::default()
            .with(RATE, done / took)
            .with_latency(&latency)
            .with(WORST, micros(Duration::from_nanos(latency.max())))
            .with(CPU, micros(used.server) / done);
        figures.others = Some(used.others);
        Ok(figures)
    }

    /// How many requests were answered so far.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Keeps one request in flight on each connection, until the time is up or `pick` has no more.
    fn run(
        &mut self,
        length: Duration,
        pick: &mut dyn FnMut(&mut u64) -> Option<Request>,
    ) -> Result<Histogram<u64>> {
        let Self { language, clients, poll, buffer, random, done } = self;
        let begin = Instant::now();
        let mut latency = latencies();
        let mut waiting = 0;
        for client in &mut *clients {
            if let Some(request) = pick(random) {
                client.ask(*language, request)?;
                waiting += 1;
            }
        }
        let mut time_is_up = false;
        while waiting > 0 {
            for index in poll.wait(Duration::from_millis(100))? {
                let client = &mut clients[index];
                if !client.go_on(*language, buffer)? {
                    continue;
                }
                record(&mut latency, client.begin.elapsed());
                waiting -= 1;
                *done += 1;
                if let Some(request) = (!time_is_up).then(|| pick(random)).flatten() {
                    client.ask(*language, request)?;
                    waiting += 1;
                }
            }
            time_is_up = begin.elapsed() >= length;
            ensure!(
                begin.elapsed() < length + MAX_WAIT,
                "{waiting} requests were not answered in {MAX_WAIT:?}"
            );
        }
        Ok(latency)
    }
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            asked: None,
            request: Vec::with_capacity(512),
            sent: 0,
            answer: Vec::with_capacity(512),
            begin: Instant::now(),
        }
    }

    fn ask(&mut self, language: Language, request: Request) -> Result<()> {
        language.render(request, &mut self.request);
        self.asked = Some(request);
        self.sent = 0;
        self.answer.clear();
        self.begin = Instant::now();
        self.send()
    }

    fn send(&mut self) -> Result<()> {
        while self.sent < self.request.len() {
            match self.socket.write(&self.request[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("sending a request"),
            }
        }
        Ok(())
    }

    /// Does what can be done now. Returns whether the answer is there.
    fn go_on(&mut self, language: Language, buffer: &mut [u8]) -> Result<bool> {
        let Some(asked) = self.asked else { return Ok(false) };
        self.send()?;
        loop {
            match self.socket.read(buffer) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(received) => {
                    self.answer.extend_from_slice(&buffer[..received]);
                    if received < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
        if !language.is_whole(&self.answer, asked) {
            return Ok(false);
        }
        let answer = &self.answer;
        ensure!(
            language.is_right(answer, asked),
            "{asked:?} was answered with {}",
            String::from_utf8_lossy(answer)
        );
        self.asked = None;
        Ok(true)
    }
}

/// xorshift: as random as keys need to be.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
