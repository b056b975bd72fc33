//! Random requests, checked against a model of the rules of the contract.
//!
//! The model knows numbers only, and nothing of how decisions are made. A restart goes through what was stored.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;

use super::beginning::Beginning;
use super::decide::{Decide, Edit, Moment, State, Tick};
use super::decision::{Decision, Effect};
use super::history::{History, Position};
use super::override_file;
use super::{
    Actor, Amount, Ceiling, Change, Configured, Door, LimitRequest, Outcome, Override, Record, Reread,
    Settings, Tag,
};
use crate::limiter::Snapshot;

const DEFAULT: u32 = 1000;

const STEP: u32 = 100;

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    /// A change by a client that has not seen the last one.
    Stale(Change),
    Edit(Option<u32>, Reread),
    Persist(bool),
    /// This many connections are open, as far as the limit allows.
    Connections(u32),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A restart of a process that can hold this many connections.
    Restart(u32),
}

/// The rules.
#[derive(Debug, Clone)]
struct Model {
    command_line: Option<u32>,
    file: Option<u32>,
    ceiling: u32,
    persist: bool,
    limit: u32,
    active: u32,
    base: u32,
    /// The limit set at run time, and the base that it replaced.
    override_: Option<(u32, u32)>,
    /// The edit that was refused, and whether it waits.
    refused: Option<(u32, bool)>,
    set_since_edit: bool,
    revision: u64,
}

/// The result of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    None,
    Applied,
    Refused,
}

impl Model {
    fn new(command_line: Option<u32>, file: Option<u32>, ceiling: u32) -> Self {
        let base = command_line.or(file).unwrap_or(DEFAULT);
        Self {
            command_line,
            file,
            ceiling,
            persist: true,
            limit: base.min(ceiling),
            active: 0,
            base,
            override_: None,
            refused: None,
            set_since_edit: false,
            revision: 1,
        }
    }

    fn can_have(&self, limit: i128) -> bool {
        limit >= 1 && limit >= self.active.into() && limit <= self.ceiling.into()
    }

    fn step(&mut self, step: &Step) -> Fate {
        let limit = i128::from(self.limit);
        match step {
            Step::Stale(_) => Fate::Refused,
            Step::Change(Change::Reset) => {
                let base = self.base.min(self.ceiling);
                if !self.can_have(base.into()) {
                    return Fate::Refused;
                }
                (self.limit, self.override_, self.refused) = (base, None, None);
                self.applied()
            }
            Step::Change(change) => {
                let wanted = match *change {
                    Change::Set(wanted) => wanted.into(),
                    Change::Increase(Amount::Step) => limit + i128::from(STEP),
                    Change::Decrease(Amount::Step) => limit - i128::from(STEP),
                    Change::Increase(Amount::By(amount)) => limit + i128::from(amount.get()),
                    Change::Decrease(Amount::By(amount)) => limit - i128::from(amount.get()),
                    Change::Reset => unreachable!("above"),
                };
                if !self.can_have(wanted) {
                    return Fate::Refused;
                }
                self.limit = u32::try_from(wanted).unwrap();
                self.set_since_edit = true;
                self.override_ = (self.limit != self.base).then_some((self.limit, self.base));
                self.refused =
                    self.refused.filter(|_| self.limit != self.base).map(|(wanted, _)| (wanted, false));
                self.applied()
            }
            Step::Edit(file, reread) => {
                let again = self.refused.is_some() && (*reread == Reread::Asked || !self.set_since_edit);
                if *file == self.file && !again {
                    return Fate::None;
                }
                self.file = *file;
                self.base = file.or(self.command_line).unwrap_or(DEFAULT);
                (self.refused, self.set_since_edit) = (None, false);
                self.try_base()
            }
            Step::Pass(_) => match self.refused {
                Some((wanted, true)) if self.can_have(wanted.into()) => self.try_base(),
                _ => Fate::None,
            },
            Step::Persist(persist) => {
                self.persist = *persist;
                Fate::None
            }
            Step::Connections(active) => {
                self.active = (*active).min(self.limit);
                Fate::None
            }
            Step::Restart(ceiling) => {
                let stored = self.override_.filter(|_| self.persist);
                let began = Self::new(self.command_line, self.file, *ceiling);
                let stored = stored.filter(|(_, base)| *base == began.base);
                let limit = stored.map_or(began.limit, |(limit, _)| limit.min(*ceiling));
                *self = Self {
                    override_: stored,
                    limit,
                    persist: self.persist,
                    revision: self.revision + 1,
                    ..began
                };
                Fate::Applied
            }
        }
    }

    fn try_base(&mut self) -> Fate {
        if self.can_have(self.base.into()) {
            (self.limit, self.override_, self.refused) = (self.base, None, None);
            return self.applied();
        }
        self.refused = Some((self.base, self.base < self.active));
        Fate::Refused
    }

    fn applied(&mut self) -> Fate {
        self.revision += 1;
        Fate::Applied
    }
}

/// The state under test, with its surroundings.
struct Tried {
    state: State,
    connections: Snapshot,
    /// The content of the override's file on disk.
    stored: Vec<u8>,
    persist: bool,
    instant: Instant,
    time: Timestamp,
    last: Option<Position>,
}

impl Tried {
    fn begin(
        model: &Model,
        stored: &[u8],
        persist: bool,
        revision: u64,
        next: Position,
    ) -> (Self, Vec<Effect>) {
        let number = |limit: Option<u32>| limit.and_then(NonZeroU32::new);
        let configured = Configured { command_line: number(model.command_line), file: number(model.file) };
        let beginning = Beginning {
            configured,
            settings: settings(persist),
            ceiling: Ceiling {
                connections: NonZeroU32::new(model.ceiling).unwrap(),
                open_files: u64::from(model.ceiling) + 100,
            },
            epoch: 1,
            editor: Actor::File(PathBuf::from("/etc/shibudb/shibudb.toml")),
            stored: override_file::parse(stored).ok().and_then(|(stored, _)| stored),
            revision,
            next,
        };
        let time = Timestamp::UNIX_EPOCH;
        let (limit, Decision { state, effects, .. }) = beginning.decide(time);
        let tried = Self {
            state,
            connections: Snapshot { limit: limit.get(), active: 0 },
            stored: stored.to_owned(),
            persist,
            instant: Instant::now(),
            time,
            last: None,
        };
        (tried, effects)
    }

    fn decide<R: Decide>(&mut self, request: &R) -> Vec<Effect> {
        let now = Moment { time: self.time, instant: self.instant, connections: self.connections };
        let Decision { state, limit, effects, .. } = request.decide(&self.state, &now);
        self.state = state;
        if let Some(limit) = limit {
            self.connections.limit = limit.get();
        }
        effects
    }

    fn step(&mut self, step: &Step, model: &Model) -> Vec<Effect> {
        let request = |change, if_revision| LimitRequest {
            change,
            door: Door::Http,
            actor: Actor::Kernel,
            if_revision,
        };
        match *step {
            Step::Change(change) => {
                let tag = self.state.tag();
                self.decide(&request(change, Some(vec![tag])))
            }
            Step::Stale(change) => {
                let Tag { epoch, revision } = self.state.tag();
                self.decide(&request(change, Some(vec![Tag { epoch, revision: revision + 1 }])))
            }
            Step::Edit(file, reread) => {
                let file = file.and_then(NonZeroU32::new);
                self.decide(&Edit { file, reread, actor: Actor::Default })
            }
            Step::Persist(persist) => {
                self.persist = persist;
                self.decide(&settings(persist))
            }
            Step::Connections(active) => {
                self.connections.active = active.min(self.connections.limit);
                Vec::new()
            }
            Step::Pass(milliseconds) => {
                self.instant += Duration::from_millis(milliseconds);
                self.time += Duration::from_millis(milliseconds);
                self.decide(&Tick)
            }
            Step::Restart(_) => {
                let next = self.last.map_or_else(|| History::default().position(), Position::next);
                let revision = self.state.limit_state.revision;
                let (tried, effects) = Self::begin(model, &self.stored, self.persist, revision, next);
                *self = tried;
                effects
            }
        }
    }

    /// Carries out effects as the runner does, and returns the records of new attempts.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<Record> {
        let mut records = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store(Some(override_)) => self.stored = stored(&override_),
                Effect::Store(None) => self.stored.clear(),
                Effect::Record { position, record, .. } => {
                    if self.last.is_none_or(|last| position > last) {
                        self.last = Some(position);
                    } else {
                        assert!(record.count.is_some(), "only a refusal that is counted has an old position");
                    }
                    records.push(record);
                }
                Effect::Count { .. } | Effect::Log(_) => {}
            }
        }
        records
    }
}

fn settings(persist: bool) -> Settings {
    Settings { step: NonZeroU32::new(STEP).unwrap(), persist }
}

fn stored(override_: &Override) -> Vec<u8> {
    serde_json::to_vec(override_).unwrap()
}

fn limits() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..20, 900_u32..1100, 4990_u32..5010]
}

fn changes() -> impl Strategy<Value = Change> {
    let amount = prop_oneof![
        Just(Amount::Step),
        (1_u64..200).prop_map(|amount| Amount::By(NonZeroU64::new(amount).unwrap())),
        (u64::MAX - 5..=u64::MAX).prop_map(|amount| Amount::By(NonZeroU64::new(amount).unwrap())),
    ];
    prop_oneof![
        limits().prop_map(|limit| Change::Set(limit.into())),
        prop_oneof![Just(0), Just(-1), Just(i64::MIN), Just(i64::MAX)].prop_map(Change::Set),
        amount.clone().prop_map(Change::Increase),
        amount.prop_map(Change::Decrease),
        Just(Change::Reset),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => changes().prop_map(Step::Change),
        1 => changes().prop_map(Step::Stale),
        4 => (prop::option::of(limits()), any::<bool>()).prop_map(|(limit, asked)| {
            Step::Edit(limit, if asked { Reread::Asked } else { Reread::Found })
        }),
        1 => any::<bool>().prop_map(Step::Persist),
        4 => limits().prop_map(Step::Connections),
        3 => prop_oneof![50_u64..500, 55_000_u64..70_000].prop_map(Step::Pass),
        1 => prop_oneof![10_u32..30, 1000_u32..1050, 5000_u32..6000].prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_keeps_the_rules(
        command_line in prop::option::of(limits()),
        file in prop::option::of(limits()),
        ceiling in 1000_u32..6000,
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        let mut model = Model::new(command_line, file, ceiling);
        let (mut tried, effects) = Tried::begin(&model, b"", true, 0, History::default().position());
        tried.carry_out(effects);
        for step in &steps {
            let before = model.clone();
            let fate = model.step(step);
            let effects = tried.step(step, &model);
            let attempts = effects.iter().filter_map(|effect| match effect {
                Effect::Count { is_applied, .. } => Some(*is_applied),
                _ => None,
            });
            let expected = match fate {
                Fate::None => vec![],
                Fate::Applied => vec![true],
                Fate::Refused => vec![false],
            };
            prop_assert_eq!(attempts.collect::<Vec<_>>(), expected, "{:?} on {:?}", step, before);
            let records = tried.carry_out(effects);
            if fate != Fate::None {
                let record = records.last().unwrap();
                prop_assert_eq!(record.outcome == Outcome::Applied, fate == Fate::Applied);
                prop_assert_eq!(record.revision, model.revision);
            }
            let limit_state = &tried.state.limit_state;
            prop_assert!(tried.connections.active <= tried.connections.limit);
            prop_assert_eq!(
                (
                    tried.connections,
                    limit_state.base,
                    limit_state.override_.as_ref().map(|override_| (override_.limit, override_.base)),
                    limit_state.refused_edit.as_ref().map(|edit| (edit.wanted, edit.waits)),
                    limit_state.revision,
                ),
                (
                    Snapshot { limit: model.limit, active: model.active },
                    model.base,
                    model.override_,
                    model.refused,
                    model.revision,
                ),
                "{:?} on {:?}", step, before
            );
            prop_assert_eq!(tried.stored.is_empty(), model.override_.is_none() || !model.persist);
            prop_assert_eq!(tried.state.is_waiting(), model.refused.is_some_and(|(_, waits)| waits));
        }
    }
}
