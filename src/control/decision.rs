//! The parts of a decision: a new state, and the effects of an attempt that was applied or refused.

use std::num::NonZeroU32;

use jiff::Timestamp;

use super::decide::{Moment, State};
use super::history::Position;
use super::refusals::{Counted, Like};
use super::sentence::Sentence;
use super::{Actor, Door, LimitChange, LimitRefusal, Outcome, Override, Record, Stored};
use crate::limiter::Snapshot;

/// The result of a [request](super::decide::Decide).
#[derive(Debug)]
pub(super) struct Decision<T> {
    pub(super) state: State,
    /// The limit from now on, if connections are still as they were; `None` leaves it alone.
    pub(super) limit: Option<NonZeroU32>,
    /// The effects, in this order.
    pub(super) effects: Vec<Effect>,
    pub(super) answer: T,
}

/// An effect of a decision in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Stores this override for the next start.
    Store(Option<Override>),
    /// Counts one more attempt through this door.
    Count { door: Door, is_applied: bool },
    /// Adds this to the history, and to its file if it is to be written.
    Record { position: Position, record: Record, shown: Shown, write: bool },
    /// Logs this.
    Log(Sentence),
}

/// When the history shows a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Already,
    Now,
    WhenStored,
}

/// One attempt, for its record and its log line.
pub(super) struct Attempt<'a> {
    pub(super) door: Door,
    pub(super) actor: &'a Actor,
    /// The limit requested, if there is one.
    pub(super) wanted: Option<i64>,
}

impl Decision<()> {
    pub(super) fn with<T>(self, answer: T) -> Decision<T> {
        let Self { state, limit, effects, answer: () } = self;
        Decision { state, limit, effects, answer }
    }

    /// Records a change of the limit. The state has been updated already.
    pub(super) fn changed(&mut self, attempt: &Attempt<'_>, new: NonZeroU32, now: &Moment) -> LimitChange {
        let Snapshot { limit: old, active } = now.connections;
        self.limit = Some(new);
        let revision = self.applied(attempt, Some(old), new, active, now.time);
        LimitChange { revision, old, new: new.get(), active, stored: Stored::NOTHING }
    }

    /// Adds all effects of a limit that is in force. Returns its revision.
    pub(super) fn applied(
        &mut self,
        attempt: &Attempt<'_>,
        old: Option<u32>,
        new: NonZeroU32,
        active: u32,
        time: Timestamp,
    ) -> u64 {
        self.state.limit_state.revision += 1;
        let revision = self.state.limit_state.revision;
        self.store();
        let record = attempt.record(revision, time, old, active, Outcome::Applied);
        let (door, actor, new) = (attempt.door, attempt.actor.clone(), new.get());
        let position = self.state.position();
        self.effects.extend([
            Effect::Count { door, is_applied: true },
            Effect::Record { position, record, shown: Shown::WhenStored, write: true },
            Effect::Log(Sentence::Changed { door, actor, old, new, active, revision }),
        ]);
        revision
    }

    pub(super) fn refused(&mut self, attempt: &Attempt<'_>, refusal: &LimitRefusal, now: &Moment) {
        let Snapshot { limit: old, active } = now.connections;
        let reason = refusal.to_string();
        let outcome = Outcome::Refused { reason: reason.clone() };
        let revision = self.state.limit_state.revision;
        let record = attempt.record(revision, now.time, Some(old), active, outcome);
        let Attempt { door, actor, wanted } = *attempt;
        let like = Like::new(door, actor, refusal, revision);
        let position = self.state.next;
        let Counted { position: counted, record, write } =
            self.state.refusals.count(like, record, now.instant, position);
        if counted == position {
            self.state.position();
        }
        let actor = actor.clone();
        self.effects.extend([
            Effect::Count { door, is_applied: false },
            Effect::Record { position: counted, record, shown: Shown::Now, write },
            Effect::Log(Sentence::Refused { door, actor, old, wanted, active, revision, reason }),
        ]);
    }

    /// Has the current override stored.
    pub(super) fn store(&mut self) {
        let override_ = self.state.limit_state.override_.clone().filter(|_| self.state.settings.persist);
        self.effects.push(Effect::Store(override_));
    }

    /// Has records written that the history shows already.
    pub(super) fn write(&mut self, counted: Vec<Counted>) {
        let records = counted.into_iter().map(|Counted { position, record, .. }| Effect::Record {
            position,
            record,
            shown: Shown::Already,
            write: true,
        });
        self.effects.extend(records);
    }
}

impl Attempt<'_> {
    fn record(
        &self,
        revision: u64,
        time: Timestamp,
        old: Option<u32>,
        active: u32,
        outcome: Outcome,
    ) -> Record {
        Record {
            time,
            revision,
            door: self.door.into(),
            actor: self.actor.to_string(),
            old,
            new: self.wanted,
            active,
            outcome,
            count: None,
            last_time: None,
        }
    }
}
