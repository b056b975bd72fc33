//! How long a server takes to start: until its ports listen, and until they answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::bare;
use crate::contender::{Contender, Redis, Shibudb, free_port, home, start_bare};
use crate::crowd;
use crate::figures::{ANSWERS, Figures, LISTENS, RESIDENT, Spread, millis};
use crate::http::Http;
use crate::rounds::{Lane, Measured, REDIS, SHIBUDB, Scale, TOKIO, interleave};
use crate::socket;
use crate::usage::resident;

/// With the data directory of an earlier run.
const AGAIN: &str = "shibudb, not the first time";

const STARTS: usize = 5;

const MAX_WAIT: Duration = Duration::from_secs(120);

/// One start.
pub(crate) struct Start {
    pub(crate) server: Contender,
    listens: Duration,
    pub(crate) answers: Duration,
}

pub(super) fn measure(scale: &Scale) -> Result<Measured> {
    let mut used = Some(shibudb(home()?)?.server.stop()?);
    let mut lanes = vec![
        Lane::new(SHIBUDB, || median((0..STARTS).map(|_| shibudb(home()?)))),
        Lane::new(AGAIN, move || {
            let mut starts = Vec::new();
            for _ in 0..STARTS {
                let start = shibudb(used.take().map_or_else(home, Ok)?)?;
                starts.push((start.listens, start.answers, resident(start.server.pid())?));
                used = Some(start.server.stop()?);
            }
            Ok(of(&starts))
        }),
        Lane::new(TOKIO, || median((0..STARTS).map(|_| bare_start()))),
    ];
    if Redis::installed() {
        lanes.push(Lane::new(REDIS, || median((0..STARTS).map(|_| redis()))));
    }
    interleave(scale, lanes)
}

/// Starts this server on a data directory, and waits until both of its ports answer.
pub(crate) fn shibudb(home: TempDir) -> Result<Start> {
    let (clients, management) = (free_port()?, free_port()?);
    let server = Shibudb::default();
    let begin = Instant::now();
    let server = server.spawn_in(home, clients, management)?;
    wait_for(server.address(), begin)?;
    wait_for(server.management(), begin)?;
    let listens = begin.elapsed();
    crowd::first_answer(server.address(), b"x\n")?;
    Http::open(server.management())?.get("/health")?;
    Ok(Start { server, listens, answers: begin.elapsed() })
}

fn redis() -> Result<Start> {
    let port = free_port()?;
    let home = home()?;
    let begin = Instant::now();
    let server = Redis::default().spawn_in(home, port)?;
    wait_for(server.address(), begin)?;
    let listens = begin.elapsed();
    crowd::first_answer(server.address(), b"PING\r\n")?;
    Ok(Start { server, listens, answers: begin.elapsed() })
}

fn bare_start() -> Result<Start> {
    let begin = Instant::now();
    let server = start_bare(bare::Kind::Reply)?;
    let listens = begin.elapsed();
    crowd::first_answer(server.address(), b"x\n")?;
    Ok(Start { server, listens, answers: begin.elapsed() })
}

fn wait_for(server: SocketAddr, begin: Instant) -> Result<()> {
    while socket::open(server).is_err() {
        ensure!(begin.elapsed() < MAX_WAIT, "the server did not listen within {MAX_WAIT:?}");
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn median(starts: impl Iterator<Item = Result<Start>>) -> Result<Figures> {
    let mut measured = Vec::new();
    for start in starts {
        let start = start?;
        measured.push((start.listens, start.answers, resident(start.server.pid())?));
    }
    Ok(of(&measured))
}

fn of(starts: &[(Duration, Duration, f64)]) -> Figures {
    let median = |values: Vec<f64>| Spread::of(values).map_or(f64::NAN, |spread| spread.median);
    Figures::default()
        .with(LISTENS, median(starts.iter().map(|start| millis(start.0)).collect()))
        .with(ANSWERS, median(starts.iter().map(|start| millis(start.1)).collect()))
        .with(RESIDENT, median(starts.iter().map(|start| start.2).collect()))
}
