//! The decisions: from a state, a request and the instant to a new state, its effects, and an answer.
//!
//! Nothing here does input or output. [`super::runner`] reads the clock and the limiter, and carries out the effects;
//! if the limiter has changed meanwhile, it discards the decision and decides again. So every rule can be tested with
//! any clock, any number of connections and any sequence of requests.

use std::num::NonZeroU32;
use std::time::Instant;

use jiff::Timestamp;

use super::decision::{Attempt, Decision, Effect};
use super::history::Position;
use super::refusals::Refusals;
use super::sentence::Sentence;
use super::{
    Actor, Amount, Ceiling, Change, ConfigureOutcome, Door, LimitChange, LimitRefusal, LimitRequest,
    LimitState, RefusedEdit, Reread, Settings, Tag,
};
use crate::limiter::{self, Refusal, Snapshot};

/// Everything that decisions depend on, except the limiter and the clock.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) limit_state: LimitState,
    pub(super) settings: Settings,
    pub(super) ceiling: Ceiling,
    /// The random number of this process in its tags.
    pub(super) epoch: u64,
    /// Who edits the config file: the actor of a waiting edit.
    pub(super) editor: Actor,
    pub(super) refusals: Refusals,
    /// The position of the next record.
    pub(super) next: Position,
}

/// The instant of a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// For people.
    pub(super) time: Timestamp,
    /// For durations.
    pub(super) instant: Instant,
    pub(super) connections: Snapshot,
}

/// A request that can be decided.
pub(super) trait Decide {
    type Answer;

    fn decide(&self, state: &State, now: &Moment) -> Decision<Self::Answer>;
}

/// The current `max_connections` in the config file.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) file: Option<NonZeroU32>,
    pub(super) reread: Reread,
    pub(super) actor: Actor,
}

/// A deadline has come, or it is time to check whether a waiting edit has become possible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick;

/// No more requests will come.
#[derive(Debug, Clone, Copy)]
pub(super) struct End;

/// The limit, or the highest that this process can hold.
pub(super) fn within(ceiling: Ceiling, limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).map_or(NonZeroU32::MIN, |limit| limit.min(ceiling.connections))
}

impl Decide for LimitRequest {
    type Answer = Result<LimitChange, LimitRefusal>;

    fn decide(&self, state: &State, now: &Moment) -> Decision<Self::Answer> {
        let Self { change, door, actor, if_revision } = self;
        let by = |amount: Amount| match amount {
            Amount::Step => u64::from(state.settings.step.get()),
            Amount::By(amount) => amount.get(),
        };
        let old = now.connections.limit;
        // A number below zero is treated as zero.
        let not_negative = |limit: i64| u64::try_from(limit).unwrap_or(0);
        let (wanted, limit) = match *change {
            Change::Set(limit) => (limit, not_negative(limit)),
            Change::Increase(amount) => (
                i64::from(old).saturating_add_unsigned(by(amount)),
                u64::from(old).saturating_add(by(amount)),
            ),
            Change::Decrease(amount) => (
                i64::from(old).saturating_sub_unsigned(by(amount)),
                u64::from(old).saturating_sub(by(amount)),
            ),
            Change::Reset => {
                let base = within(state.ceiling, state.limit_state.base).get();
                (base.into(), base.into())
            }
        };
        let attempt = Attempt { door: *door, actor, wanted: Some(wanted) };
        let mut decision = state.undecided();
        let current = state.tag();
        if let Some(expected) = if_revision.as_ref().filter(|expected| !expected.contains(&current)) {
            let expected = expected.iter().map(Tag::to_string).collect::<Vec<_>>().join(" or ");
            let refusal = LimitRefusal::RevisionMismatch { expected, current };
            decision.refused(&attempt, &refusal, now);
            return decision.with(Err(refusal));
        }
        match state.check(limit, now) {
            Ok(new) => {
                let limit_state = &mut decision.state.limit_state;
                if *change == Change::Reset {
                    limit_state.settle_on_base();
                } else {
                    limit_state.set_at_run_time(new.get(), *door, actor.to_string(), now.time);
                }
                let change = decision.changed(&attempt, new, now);
                decision.with(Ok(change))
            }
            Err(reason) => {
                let refusal = state.refusal(reason);
                decision.refused(&attempt, &refusal, now);
                decision.with(Err(refusal))
            }
        }
    }
}

impl Decide for Edit {
    type Answer = ConfigureOutcome;

    fn decide(&self, state: &State, now: &Moment) -> Decision<Self::Answer> {
        let Self { file, reread, actor } = self;
        let mut decision = state.undecided();
        if !state.limit_state.is_news(*file, *reread) {
            return decision.with(ConfigureOutcome::Unchanged);
        }
        decision.state.limit_state.edit(*file);
        let base = decision.state.limit_state.base;
        let attempt = Attempt { door: Door::Config, actor, wanted: Some(base.into()) };
        match state.check(base.into(), now) {
            Ok(new) => {
                decision.state.limit_state.settle_on_base();
                let change = decision.changed(&attempt, new, now);
                decision.with(ConfigureOutcome::Applied(change))
            }
            Err(reason) => {
                let refusal = state.refusal(reason);
                let waits = refusal.may_pass();
                let reason = in_few_words(&reason);
                decision.state.limit_state.refused_edit = Some(RefusedEdit { wanted: base, reason, waits });
                decision.refused(&attempt, &refusal, now);
                decision.with(ConfigureOutcome::Refused { wanted: base, refusal })
            }
        }
    }
}

impl Decide for Settings {
    type Answer = ();

    fn decide(&self, state: &State, _: &Moment) -> Decision<()> {
        let mut decision = state.undecided();
        decision.state.settings = *self;
        decision.store();
        decision
    }
}

impl Decide for Tick {
    type Answer = ();

    /// A waiting edit is no attempt until it becomes possible.
    fn decide(&self, state: &State, now: &Moment) -> Decision<()> {
        let mut decision = state.undecided();
        let ended = decision.state.refusals.end(now.instant);
        decision.write(ended);
        let waiting = state.limit_state.waiting();
        if let Some(new) = waiting.and_then(|wanted| state.check(wanted.into(), now).ok()) {
            let active = now.connections.active;
            decision.effects.push(Effect::Log(Sentence::EditApplied { limit: new.get(), active }));
            decision.state.limit_state.settle_on_base();
            let attempt =
                Attempt { door: Door::Config, actor: &state.editor, wanted: Some(new.get().into()) };
            decision.changed(&attempt, new, now);
        }
        decision
    }
}

impl Decide for End {
    type Answer = ();

    fn decide(&self, state: &State, _: &Moment) -> Decision<()> {
        let mut decision = state.undecided();
        let ended = decision.state.refusals.end_all();
        decision.write(ended);
        decision
    }
}

impl State {
    /// The tag of the state of the limit.
    pub(super) fn tag(&self) -> Tag {
        Tag { epoch: self.epoch, revision: self.limit_state.revision }
    }

    /// When a [`Tick`] has something to do, unless something is decided earlier.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.refusals.deadline()
    }

    /// Whether something may become possible at any time, which only a [`Tick`] finds out.
    pub(super) fn is_waiting(&self) -> bool {
        self.limit_state.waiting().is_some()
    }

    fn check(&self, wanted: u64, now: &Moment) -> Result<NonZeroU32, Refusal> {
        limiter::check(wanted, now.connections.active, self.ceiling.connections.get())
    }

    fn refusal(&self, reason: Refusal) -> LimitRefusal {
        LimitRefusal::Limiter { reason, open_files: self.ceiling.open_files }
    }

    fn undecided(&self) -> Decision<()> {
        Decision { state: self.clone(), limit: None, effects: Vec::new(), answer: () }
    }

    pub(super) fn position(&mut self) -> Position {
        let position = self.next;
        self.next = position.next();
        position
    }
}

/// The reason as it follows `refused: ` in `manager status`.
fn in_few_words(reason: &Refusal) -> String {
    match reason {
        Refusal::BelowActive { active, .. } => format!("{active} connections are active"),
        Refusal::AboveCeiling { ceiling, .. } => {
            format!("this process can hold at most {ceiling} connections")
        }
        Refusal::NotPositive => reason.to_string(),
    }
}
