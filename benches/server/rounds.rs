//! Measuring several servers in turns.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};

use crate::figures::{Figure, Figures, Spread};

pub(crate) const SHIBUDB: &str = "shibudb";
pub(crate) const REDIS: &str = "redis";
pub(crate) const TOKIO: &str = "bare tokio";
pub(crate) const EPOLL: &str = "bare epoll";

/// The scale of the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) large: bool,
}

/// One server in one row, and the function for one measurement.
pub(crate) struct Lane<'a> {
    name: &'static str,
    measure: Box<dyn FnMut() -> Result<Figures> + 'a>,
}

/// The results of all rounds of a row.
pub(crate) struct Measured {
    pub(crate) lanes: Vec<(&'static str, Vec<Figures>)>,
}

impl Scale {
    pub(crate) fn new(quick: bool, rounds: Option<usize>, large: bool) -> Self {
        Self { quick, rounds: rounds.unwrap_or(if quick { 2 } else { 5 }).max(1), large }
    }

    /// This count, or a tenth of it in a quick run.
    pub(crate) fn count(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }

    /// This duration, or a third of it in a quick run.
    pub(crate) fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { seconds / 3.0 } else { seconds })
    }

    /// This many connections, or as many as this process has descriptors for.
    pub(crate) fn connections(&self, connections: usize) -> usize {
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        connections.min(limit.unwrap_or(usize::MAX).saturating_sub(500))
    }
}

impl<'a> Lane<'a> {
    pub(crate) fn new(name: &'static str, measure: impl FnMut() -> Result<Figures> + 'a) -> Self {
        Self { name, measure: Box::new(measure) }
    }
}

/// Measures all lanes in each round, beginning with another one each time.
pub(crate) fn interleave(scale: &Scale, mut lanes: Vec<Lane<'_>>) -> Result<Measured> {
    let mut found = vec![Vec::new(); lanes.len()];
    for round in 0..scale.rounds {
        for turn in 0..lanes.len() {
            let index = (round + turn) % lanes.len();
            let lane = &mut lanes[index];
            eprint!("\r\x1b[K  round {} of {}: {}", round + 1, scale.rounds, lane.name);
            let figures = (lane.measure)().with_context(|| format!("{} in round {}", lane.name, round + 1));
            found[index].push(figures.inspect_err(|_| eprintln!())?);
        }
    }
    eprint!("\r\x1b[K");
    let names = lanes.iter().map(|lane| lane.name);
    Ok(Measured { lanes: names.zip(found).collect() })
}

impl Measured {
    /// The columns, in the order of their first measurement.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut all: Vec<Figure> = Vec::new();
        for figures in self.lanes.iter().flat_map(|(_, rounds)| rounds) {
            for figure in figures.figures() {
                if !all.contains(&figure) {
                    all.push(figure);
                }
            }
        }
        all
    }

    pub(crate) fn spread(&self, lane: &str, figure: Figure) -> Option<Spread> {
        Spread::of(self.rounds(lane)?.iter().filter_map(|round| round.get(figure)))
    }

    /// The ratio of `lane` to `other`, round by round.
    pub(crate) fn ratio(&self, lane: &str, other: &str, figure: Figure) -> Option<Spread> {
        let rounds = self.rounds(lane)?.iter().zip(self.rounds(other)?);
        Spread::of(rounds.filter_map(|(one, other)| Some(one.get(figure)? / other.get(figure)?)))
    }

    /// How many rounds there were.
    pub(crate) fn count(&self) -> usize {
        self.lanes.first().map_or(0, |(_, rounds)| rounds.len())
    }

    /// The share of the machine that others used meanwhile.
    pub(crate) fn others(&self) -> Option<Spread> {
        Spread::of(self.lanes.iter().flat_map(|(_, rounds)| rounds).filter_map(|round| round.others))
    }

    fn rounds(&self, lane: &str) -> Option<&[Figures]> {
        self.lanes.iter().find(|(name, _)| *name == lane).map(|(_, rounds)| rounds.as_slice())
    }
}
