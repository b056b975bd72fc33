//! The cost of an idle connection, and what remains of it after the close.
//!
//! A server is started anew for every measurement: it would reuse memory from earlier ones.

use std::time::Duration;

use anyhow::Result;

use crate::bare;
use crate::contender::{Contender, Redis, Shibudb, start_bare};
use crate::crowd;
use crate::figures::{Figure, Figures, GROWTH, KEPT, KEPT_BYTES, LOGGED_IN, SILENT};
use crate::language::{Greeting, Language};
use crate::rounds::{Lane, Measured, REDIS, SHIBUDB, Scale, TOKIO, interleave};
use crate::usage::resident;

const CONNECTIONS: usize = 15_000;

/// How often the connections are opened and closed, to distinguish reused memory from leaks.
const TIMES: usize = 2;

/// How long connections are held before memory is measured.
const HOLD: Duration = Duration::from_millis(1500);

/// How long a server has to return memory.
const SETTLE: Duration = Duration::from_secs(3);

/// The memory of a server while connections are opened and closed several times.
pub(crate) struct Memory {
    connections: f64,
    before: f64,
    with: Vec<f64>,
    after: Vec<f64>,
}

pub(super) fn measure(scale: &Scale) -> Result<Measured> {
    let connections = scale.connections(CONNECTIONS);
    // A few more: a closed connection may count for a moment longer.
    let limit = connections + 100;
    let start = move || Shibudb { limit, ..Shibudb::default() }.start();
    let mut lanes = vec![
        Lane::new(SHIBUDB, move || both(start, connections, Language::Shibudb)),
        Lane::new(TOKIO, move || {
            let memory = Memory::of(&start_bare(bare::Kind::Hold)?, connections, Greeting::SILENCE)?;
            Ok(figures(&[(SILENT, memory)]))
        }),
    ];
    if Redis::installed() {
        let start = move || Redis { limit, ..Redis::default() }.start();
        lanes.push(Lane::new(REDIS, move || both(start, connections, Language::Redis)));
    }
    interleave(scale, lanes)
}

fn both(start: impl Fn() -> Result<Contender>, connections: usize, language: Language) -> Result<Figures> {
    let silent = Memory::of(&start()?, connections, Greeting::SILENCE)?;
    let greeted = Memory::of(&start()?, connections, language.greeting())?;
    Ok(figures(&[(SILENT, silent), (LOGGED_IN, greeted)]))
}

fn figures(memories: &[(Figure, Memory)]) -> Figures {
    let mut figures = Figures::default();
    for (figure, memory) in memories {
        figures = figures.with(*figure, memory.of_each());
    }
    let worst =
        |share: fn(&Memory) -> f64| memories.iter().map(|(_, memory)| share(memory)).fold(f64::MIN, f64::max);
    figures
        .with(KEPT, worst(Memory::kept))
        .with(KEPT_BYTES, worst(Memory::kept_bytes))
        .with(GROWTH, worst(Memory::growth))
}

impl Memory {
    /// Opens and closes this many connections, and measures the server's memory before, with and after.
    pub(crate) fn of(server: &Contender, connections: usize, greeting: Greeting) -> Result<Self> {
        // What is allocated for the first connection only is not part of the cost of each.
        drop(crowd::hold(server.address(), 1, greeting)?);
        let mut memory = Self {
            connections: connections as f64,
            before: settled(server.pid())?,
            with: Vec::new(),
            after: Vec::new(),
        };
        for _ in 0..TIMES {
            let held = crowd::hold(server.address(), connections, greeting)?;
            std::thread::sleep(HOLD);
            crowd::still_held(&held)?;
            memory.with.push(resident(server.pid())?);
            drop(held);
            std::thread::sleep(SETTLE);
            memory.after.push(resident(server.pid())?);
        }
        Ok(memory)
    }

    /// Bytes for each connection.
    pub(crate) fn of_each(&self) -> f64 {
        self.taken() / self.connections
    }

    /// The share that remains after the connections are closed, at worst, in percent.
    pub(crate) fn kept(&self) -> f64 {
        self.kept_bytes() / self.taken() * 100.0
    }

    fn kept_bytes(&self) -> f64 {
        let most = self.after.iter().copied().fold(f64::MIN, f64::max);
        (most - self.before).max(0.0)
    }

    /// By how much more is held the last time than the first, in percent.
    fn growth(&self) -> f64 {
        let (first, last) = (self.with[0], self.with[self.with.len() - 1]);
        (last - first).max(0.0) / self.taken() * 100.0
    }

    /// The memory that the connections take the first time. At least a page: it is a divisor.
    fn taken(&self) -> f64 {
        (self.with[0] - self.before).max(4096.0)
    }
}

/// The memory of a server once it is stable, or after a while.
fn settled(pid: u32) -> Result<f64> {
    let mut last = resident(pid)?;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(300));
        let now = resident(pid)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}
