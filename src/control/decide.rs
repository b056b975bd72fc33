//! What is decided: from a state, a request and the instant, a new state, what follows from it, and an answer.
//!
//! Nothing here has input or output. [`super::runner`] reads the clock and the limiter, and carries out what follows;
//! if the limiter has changed meanwhile, it throws the decision away and asks again. So every rule can be tried with
//! any clock, any number of connections and any sequence of requests.

use std::num::NonZeroU32;
use std::time::Instant;

use jiff::Timestamp;

use super::history::Position;
use super::refusals::{Counted, Like, Refusals};
use super::sentence::Sentence;
use super::{
    Actor, Amount, BaseSource, Ceiling, Change, ConfigureOutcome, Configured, Door, LimitChange,
    LimitRefusal, LimitRequest, LimitState, Outcome, Override, Record, RefusedEdit, Reread, Settings, Stored,
    Tag,
};
use crate::limiter::{self, Refusal, Snapshot};

/// All that decisions rest on, but the limiter and the clock.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) limit_state: LimitState,
    settings: Settings,
    ceiling: Ceiling,
    /// The random number of this process in its tags.
    epoch: u64,
    /// Who edits the config file: asks for an edit that waits.
    editor: Actor,
    refusals: Refusals,
    /// Of the next record.
    next: Position,
}

/// The instant of a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// For people.
    pub(super) time: Timestamp,
    /// For what lasts.
    pub(super) instant: Instant,
    pub(super) connections: Snapshot,
}

/// What a [`Decide`] comes to.
#[derive(Debug)]
pub(super) struct Decision<T> {
    pub(super) state: State,
    /// The limit from now on, if connections are still as they were; `None` leaves it alone.
    pub(super) limit: Option<NonZeroU32>,
    /// What follows, in this order.
    pub(super) effects: Vec<Effect>,
    pub(super) answer: T,
}

/// What follows from a decision that is in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// This is the override for the next start.
    Store(Option<Override>),
    /// One more attempt came through this door.
    Count { door: Door, is_applied: bool },
    /// This is to be in the history, and in its file if it is to be written.
    Record { position: Position, record: Record, shown: Shown, write: bool },
    /// This is to be in the log.
    Log(Sentence),
}

/// When the history shows a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Already,
    Now,
    WhenStored,
}

/// What can be asked for.
pub(super) trait Decide {
    type Answer;

    fn decide(&self, state: &State, now: &Moment) -> Decision<Self::Answer>;
}

/// What `max_connections` in the config file is now.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) file: Option<NonZeroU32>,
    pub(super) reread: Reread,
    pub(super) actor: Actor,
}

/// A deadline has come, or it is time to look whether an edit that waits can be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick;

/// Nothing more will be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct End;

/// What is known before the first decision.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) configured: Configured,
    pub(super) settings: Settings,
    pub(super) ceiling: Ceiling,
    pub(super) epoch: u64,
    pub(super) editor: Actor,
    /// What an earlier run has stored.
    pub(super) stored: Option<Override>,
    /// The last one of an earlier run.
    pub(super) revision: u64,
    pub(super) next: Position,
}

/// What one attempt was about, for its record and its log line.
struct Attempt<'a> {
    door: Door,
    actor: &'a Actor,
    /// The limit asked for, as far as it can be named.
    wanted: Option<i64>,
}

impl Beginning {
    /// Decides the limit to begin with: the base, or the override that an earlier run stored.
    ///
    /// What the operator asked for outlives a start that cannot have it: a limit beyond the ceiling of this process is
    /// clamped, and the override that says it stays stored, for a start that can.
    pub(super) fn decide(self, time: Timestamp) -> (NonZeroU32, Decision<()>) {
        let Self { configured, settings, ceiling, epoch, editor, stored, revision, next } = self;
        let mut limit_state = LimitState { revision, ..LimitState::new(configured) };
        let base = limit_state.base;
        let (override_, mut effects) = override_to_begin_with(stored, base, settings, ceiling);
        limit_state.override_ = override_;
        let first = within(ceiling, limit_state.override_.as_ref().map_or(base, |stored| stored.limit));
        let Ceiling { connections: most, open_files } = ceiling;
        if base > most.get() {
            effects.push(Effect::Log(Sentence::BaseBeyondCeiling { base, first, most, open_files }));
        }
        let actor = match (&limit_state.override_, limit_state.base_source) {
            (Some(_), _) => Actor::StoredOverride,
            (None, BaseSource::CommandLine) => Actor::CommandLine,
            (None, BaseSource::File) => editor.clone(),
            (None, BaseSource::Default) => Actor::Default,
        };
        let state =
            State { limit_state, settings, ceiling, epoch, editor, refusals: Refusals::default(), next };
        let mut decision = Decision { state, limit: None, effects, answer: () };
        let attempt = Attempt { door: Door::Startup, actor: &actor, wanted: Some(first.get().into()) };
        decision.applied(&attempt, None, first, 0, time);
        (first, decision)
    }
}

/// The override to begin with, of the one that is stored. Only a base that was edited, and a setting by which none
/// survives, drop it.
fn override_to_begin_with(
    stored: Option<Override>,
    base: u32,
    settings: Settings,
    ceiling: Ceiling,
) -> (Option<Override>, Vec<Effect>) {
    let Some(stored) = stored else { return (None, Vec::new()) };
    let limit = stored.limit;
    if !settings.persist {
        return (None, vec![Effect::Log(Sentence::OverrideNotPersisted { limit, base })]);
    }
    if stored.base != base {
        let was = stored.base;
        return (None, vec![Effect::Log(Sentence::OverrideOfOtherBase { limit, base, was })]);
    }
    let (door, actor) = (stored.door.clone(), stored.actor.clone());
    let mut effects = vec![Effect::Log(Sentence::OverrideUsed { limit, base, door, actor })];
    let Ceiling { connections: most, open_files } = ceiling;
    if limit > most.get() {
        effects.push(Effect::Log(Sentence::OverrideBeyondCeiling { limit, base, most, open_files }));
    }
    (Some(stored), effects)
}

/// The limit, or the highest that this process can hold.
fn within(ceiling: Ceiling, limit: u32) -> NonZeroU32 {
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
        // What is below zero is as little a limit as zero is.
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

    /// An edit that waits is no attempt as long as it cannot be had.
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

    /// When a [`Tick`] has something to do, unless something is decided before.
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

    fn position(&mut self) -> Position {
        let position = self.next;
        self.next = position.next();
        position
    }
}

impl Decision<()> {
    fn with<T>(self, answer: T) -> Decision<T> {
        let Self { state, limit, effects, answer: () } = self;
        Decision { state, limit, effects, answer }
    }

    /// The limit moves. What the state says of it is said already.
    fn changed(&mut self, attempt: &Attempt<'_>, new: NonZeroU32, now: &Moment) -> LimitChange {
        let Snapshot { limit: old, active } = now.connections;
        self.limit = Some(new);
        let revision = self.applied(attempt, Some(old), new, active, now.time);
        LimitChange { revision, old, new: new.get(), active, stored: Stored::NOTHING }
    }

    /// All that follows from a limit that is in force. Returns its revision.
    fn applied(
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

    fn refused(&mut self, attempt: &Attempt<'_>, refusal: &LimitRefusal, now: &Moment) {
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

    /// The stored override is to be this one.
    fn store(&mut self) {
        let override_ = self.state.limit_state.override_.clone().filter(|_| self.state.settings.persist);
        self.effects.push(Effect::Store(override_));
    }

    /// Has records written that the history shows already.
    fn write(&mut self, counted: Vec<Counted>) {
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

/// The reason as it stands behind `refused: ` in `manager status`.
fn in_few_words(reason: &Refusal) -> String {
    match reason {
        Refusal::BelowActive { active, .. } => format!("{active} connections are active"),
        Refusal::AboveCeiling { ceiling, .. } => {
            format!("this process can hold at most {ceiling} connections")
        }
        Refusal::NotPositive => reason.to_string(),
    }
}
