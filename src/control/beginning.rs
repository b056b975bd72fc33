//! The first decision: the initial limit.

use std::num::NonZeroU32;

use jiff::Timestamp;

use super::decide::{State, within};
use super::decision::{Attempt, Decision, Effect};
use super::history::Position;
use super::refusals::Refusals;
use super::sentence::Sentence;
use super::{Actor, BaseSource, Ceiling, Configured, Door, LimitState, Override, Settings};

/// The input of the first decision.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) configured: Configured,
    pub(super) settings: Settings,
    pub(super) ceiling: Ceiling,
    pub(super) epoch: u64,
    pub(super) editor: Actor,
    /// The override stored by an earlier run.
    pub(super) stored: Option<Override>,
    /// The last revision of an earlier run.
    pub(super) revision: u64,
    pub(super) next: Position,
}

impl Beginning {
    /// Determines the initial limit: the base, or the override that an earlier run stored.
    ///
    /// The operator's request survives a start that cannot apply it: a limit beyond the ceiling of this process is
    /// clamped, and its override stays stored, for a start that can.
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

/// The override to start with, given the stored one. It is dropped only if the base was edited, or if the settings
/// let no override survive.
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
