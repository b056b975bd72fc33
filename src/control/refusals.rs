//! Similar refusals become one record with a count, so that a program that retries again and again does not
//! fill the history.
//!
//! Similar are those of one actor, through one door, for one kind of reason, at the same revision of the
//! limit, each within [`TOGETHER`] of the one before. An actor is an address, whatever its port, or a
//! user, whatever the process. The limits requested are told apart, as long as they are few.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::history::Position;
use super::{Actor, Door, LimitRefusal, Record};
use crate::limiter::Refusal;

/// The largest distance between two refusals that are counted together.
const TOGETHER: Duration = Duration::from_secs(60);

/// How many kinds are counted at a time. The oldest one is dropped first.
const MOST: usize = 64;

/// How many limits requested by one actor are told apart. Further ones count as the last of them.
const MOST_WANTED: usize = 8;

/// How many are written to the file one by one; beyond that, each time their number has doubled.
const WRITTEN_EACH: u64 = 16;

/// What makes refusals similar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Like {
    door: Door,
    who: Who,
    kind: Kind,
    revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Address(IpAddr),
    User(u32),
    Other(Actor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotPositive,
    BelowActive,
    AboveCeiling,
    OtherRevision,
    ShuttingDown,
}

/// A record that stands for a refusal, and what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) position: Position,
    pub(super) record: Record,
    /// Whether to write it to the file.
    pub(super) write: bool,
}

/// The refusals that are being counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals {
    open: VecDeque<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    like: Like,
    position: Position,
    record: Record,
    last: Instant,
    /// Whether the count in the file is out of date.
    is_behind: bool,
}

impl Like {
    pub(super) fn new(door: Door, actor: &Actor, refusal: &LimitRefusal, revision: u64) -> Self {
        let who = match actor {
            Actor::Peer(address) => Who::Address(address.ip()),
            Actor::Local { user, .. } | Actor::Process { user, .. } => Who::User(user.uid),
            other => Who::Other(other.clone()),
        };
        let kind = match refusal {
            LimitRefusal::Limiter { reason: Refusal::NotPositive, .. } => Kind::NotPositive,
            LimitRefusal::Limiter { reason: Refusal::BelowActive { .. }, .. } => Kind::BelowActive,
            LimitRefusal::Limiter { reason: Refusal::AboveCeiling { .. }, .. } => Kind::AboveCeiling,
            LimitRefusal::RevisionMismatch { .. } => Kind::OtherRevision,
            LimitRefusal::ShuttingDown => Kind::ShuttingDown,
        };
        Self { door, who, kind, revision }
    }
}

impl Refusals {
    /// Counts a refusal. `record` describes it alone, `position` is used if it is the first of its kind.
    pub(super) fn count(&mut self, like: Like, record: Record, now: Instant, position: Position) -> Counted {
        let mut alike: Vec<_> =
            self.open.iter_mut().filter(|open| open.like == like && now < open.last + TOGETHER).collect();
        let same = alike.iter().position(|open| open.record.new == record.new);
        let known = same.or_else(|| (alike.len() >= MOST_WANTED).then(|| alike.len() - 1));
        if let Some(open) = known.map(|known| alike.swap_remove(known)) {
            let count = open.record.count.unwrap_or(1) + 1;
            open.record.count = Some(count);
            // The clock may have been set back.
            open.record.last_time = Some(record.time.max(open.record.time));
            open.last = now;
            let write = count <= WRITTEN_EACH || count.is_power_of_two();
            open.is_behind = !write;
            return Counted { position: open.position, record: open.record.clone(), write };
        }
        self.open.push_back(Open { like, position, record: record.clone(), last: now, is_behind: false });
        Counted { position, record, write: true }
    }

    /// Ends the counts that are over by now, and returns what to write to the file.
    pub(super) fn end(&mut self, now: Instant) -> Vec<Counted> {
        let mut excess = self.open.len().saturating_sub(MOST);
        let mut ended = Vec::new();
        self.open.retain(|open| {
            let is_over = now >= open.last + TOGETHER || excess > 0;
            excess = excess.saturating_sub(1);
            if is_over && open.is_behind {
                ended.push(Counted { position: open.position, record: open.record.clone(), write: true });
            }
            !is_over
        });
        ended
    }

    /// Ends all counts.
    pub(super) fn end_all(&mut self) -> Vec<Counted> {
        let behind = self.open.drain(..).filter(|open| open.is_behind);
        behind.map(|open| Counted { position: open.position, record: open.record, write: true }).collect()
    }

    /// When [`Refusals::end`] next ends one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.open.len() > MOST {
            return self.open.front().map(|open| open.last);
        }
        self.open.iter().map(|open| open.last + TOGETHER).min()
    }
}
