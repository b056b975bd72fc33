//! The control thread: one request after the other, each decided, in force, logged and handed over to be stored
//! before the next is looked at. It waits for nobody.
//!
//! The order within a change is limit, revision, override and record to [`super::storage`], log, reply; and
//! there override, record, history. A crash in between leaves the old or the new limit for the next start, and
//! never a record of something that did not happen.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::first::{self, within};
use super::history_file::HistoryFile;
use super::limit_state::LimitState;
use super::override_file::OverrideFile;
use super::refusals::{Counted, Like, Refusals};
use super::storage::{MAX_WAIT, Receipt, Storage, Stored};
use super::{
    Actor, Amount, BaseSource, Ceiling, Change, Command, ConfigureOutcome, Configured, Door, History,
    LimitChange, LimitRefusal, LimitRequest, Outcome, Record, RefusedEdit, Reply, Reread, Settings,
    StartError, Tag,
};
use crate::limiter::{Applied, Limiter, Refusal};

/// How often it looks whether a refused edit can be had, while one waits, and how the disk is doing, while
/// something waits for that.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    limiter: Limiter,
    ceiling: Ceiling,
    settings: Settings,
    limit_state: watch::Sender<LimitState>,
    history: Arc<History>,
    storage: Storage,
    refusals: Refusals,
    epoch: u64,
    /// Who edits the config file: asks for an edit that waits.
    editor: Actor,
    /// Whether it was told that the disk does not answer.
    is_stuck: bool,
}

/// What one attempt was about, for its record and its log line.
struct Attempt {
    door: Door,
    actor: Actor,
    /// The limit asked for, as far as it can be named.
    wanted: Option<i64>,
}

impl Worker {
    pub(super) fn open(
        configured: Configured,
        settings: Settings,
        ceiling: Ceiling,
        data_dir: &Path,
        config_file: &Path,
    ) -> Result<(Self, Limiter), StartError> {
        let history = Arc::new(History::default());
        let history_file = HistoryFile::open(data_dir.join("limit-history.jsonl"), &history);
        let override_file = OverrideFile::new(data_dir);
        let stored = first::stored(&override_file)?;

        let mut limit_state = LimitState::new(configured);
        limit_state.revision = history.latest(1).first().map_or(0, |record| record.revision);
        let base = limit_state.base;
        limit_state.override_ =
            first::override_to_begin_with(stored.clone(), &limit_state, settings, ceiling);
        let first = within(ceiling, limit_state.override_.as_ref().map_or(base, |stored| stored.limit));
        let limiter =
            Limiter::new(first, ceiling.connections).expect("a limit within the ceiling is always possible");

        let editor = Actor::File(config_file.to_owned());
        let actor = match (&limit_state.override_, limit_state.base_source) {
            (Some(_), _) => Actor::StoredOverride,
            (None, BaseSource::CommandLine) => Actor::CommandLine,
            (None, BaseSource::File) => editor.clone(),
            (None, BaseSource::Default) => Actor::Default,
        };
        let storage = Storage::start(override_file, stored, history_file, Arc::clone(&history))?;
        let mut worker = Self {
            limiter: limiter.clone(),
            ceiling,
            settings,
            limit_state: watch::Sender::new(limit_state),
            history,
            storage,
            refusals: Refusals::default(),
            epoch: random()?,
            editor,
            is_stuck: false,
        };
        first::warn_of_base_beyond(ceiling, base, first);
        let attempt = Attempt { door: Door::Startup, actor, wanted: Some(first.get().into()) };
        let applied = Applied { old: first.get(), new: first.get(), active: 0 };
        worker.applied(&attempt, None, applied, |_, _| {});
        worker.storage.flush(MAX_WAIT);
        worker.storage.show_overdue();
        Ok((worker, limiter))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<LimitState> {
        self.limit_state.subscribe()
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    pub(super) fn storage(&self) -> Storage {
        self.storage.clone()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Serves until the last handle is gone.
    pub(super) async fn serve(&mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = looks.tick(), if self.has_reason_to_look() => self.look(),
            }
        }
    }

    /// Has everything stored, unless the disk does not answer.
    pub(super) fn end(&mut self) {
        for counted in self.refusals.end_all() {
            self.write(counted);
        }
        self.storage.end();
        if !self.storage.flush(MAX_WAIT) {
            tracing::error!(
                "the disk does not respond: the limit and its history may not be stored for the next start"
            );
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Change(request, reply) => {
                let (result, receipt) = self.change(request);
                answer(reply, result, receipt);
            }
            Command::Configure(file, reread, actor, reply) => {
                let (outcome, receipt) = self.configure(file, reread, actor);
                answer(reply, outcome, receipt);
            }
            Command::Settings(settings, reply) => {
                let receipt = self.apply_settings(settings);
                answer(reply, (), Some(receipt));
            }
        }
    }

    fn has_reason_to_look(&self) -> bool {
        self.limit_state.borrow().waiting().is_some()
            || !self.refusals.is_empty()
            || self.is_stuck
            || self.storage.is_waiting()
    }

    /// Sees to what has changed by itself.
    fn look(&mut self) {
        self.try_waiting_edit();
        for counted in self.refusals.end(Instant::now()) {
            self.write(counted);
        }
        self.storage.show_overdue();
        match (self.storage.stuck(), self.is_stuck) {
            (Some(_), false) => tracing::error!(
                "the disk does not respond: limit changes take effect at once and are stored when it does"
            ),
            (None, true) => tracing::info!("the disk responds again"),
            _ => {}
        }
        self.is_stuck = self.storage.stuck().is_some();
    }

    fn change(&mut self, request: LimitRequest) -> (Result<LimitChange, LimitRefusal>, Option<Receipt>) {
        let LimitRequest { change, door, actor, if_revision } = request;
        let step = u64::from(self.settings.step.get());
        let by = |amount| match amount {
            Amount::Step => step,
            Amount::By(amount) => amount.get(),
        };
        let limit = i64::from(self.limiter.snapshot().limit);
        let wanted = match change {
            Change::Set(limit) => limit,
            Change::Increase(amount) => limit.saturating_add_unsigned(by(amount)),
            Change::Decrease(amount) => limit.saturating_sub_unsigned(by(amount)),
            Change::Reset => within(self.ceiling, self.limit_state.borrow().base).get().into(),
        };
        let attempt = Attempt { door, actor, wanted: Some(wanted) };
        let current = Tag { epoch: self.epoch, revision: self.limit_state.borrow().revision };
        if let Some(expected) = if_revision.filter(|expected| !expected.contains(&current)) {
            let expected = expected.iter().map(Tag::to_string).collect::<Vec<_>>().join(" or ");
            let refusal = LimitRefusal::RevisionMismatch { expected, current };
            let receipt = self.refused(&attempt, &refusal);
            return (Err(refusal), receipt);
        }
        let result = match change {
            Change::Increase(amount) => self.limiter.increase(by(amount)),
            Change::Decrease(amount) => self.limiter.decrease(by(amount)),
            Change::Set(_) | Change::Reset => self.limiter.set(not_negative(wanted)),
        };
        match result {
            Ok(applied) => {
                let (change, receipt) =
                    self.applied(&attempt, Some(applied.old), applied, |limit_state, time| {
                        if change == Change::Reset {
                            limit_state.settle_on_base();
                        } else {
                            let actor = attempt.actor.to_string();
                            limit_state.set_at_run_time(applied.new, attempt.door, actor, time);
                        }
                    });
                (Ok(change), Some(receipt))
            }
            Err(reason) => {
                let refusal = self.refusal(reason);
                let receipt = self.refused(&attempt, &refusal);
                (Err(refusal), receipt)
            }
        }
    }

    fn configure(
        &mut self,
        file: Option<NonZeroU32>,
        reread: Reread,
        actor: Actor,
    ) -> (ConfigureOutcome, Option<Receipt>) {
        if !self.limit_state.borrow().is_news(file, reread) {
            return (ConfigureOutcome::Unchanged, None);
        }
        self.limit_state.send_modify(|limit_state| limit_state.edit(file));
        let base = self.limit_state.borrow().base;
        let attempt = Attempt { door: Door::Config, actor, wanted: Some(base.into()) };
        match self.limiter.set(base.into()) {
            Ok(applied) => {
                let (change, receipt) = self.settled_on_base(&attempt, applied);
                (ConfigureOutcome::Applied(change), Some(receipt))
            }
            Err(reason) => {
                let refusal = self.refusal(reason);
                let waits = refusal.may_pass();
                let reason = in_few_words(&reason);
                self.limit_state.send_modify(|limit_state| {
                    limit_state.refused_edit = Some(RefusedEdit { wanted: base, reason, waits });
                });
                let receipt = self.refused(&attempt, &refusal);
                (ConfigureOutcome::Refused { wanted: base, refusal }, receipt)
            }
        }
    }

    /// Applies an edit that was refused, if it can be had by now. As long as it cannot, that is no attempt.
    fn try_waiting_edit(&mut self) {
        let Some(wanted) = self.limit_state.borrow().waiting() else { return };
        if self.limiter.snapshot().active > wanted {
            return;
        }
        // More may be active again by now.
        let Ok(applied) = self.limiter.set(wanted.into()) else { return };
        tracing::info!(
            limit = wanted,
            active = applied.active,
            "applied the limit {wanted} of the config file, refused earlier: {} connections are active",
            applied.active
        );
        let attempt = Attempt { door: Door::Config, actor: self.editor.clone(), wanted: Some(wanted.into()) };
        self.settled_on_base(&attempt, applied);
    }

    fn settled_on_base(&mut self, attempt: &Attempt, applied: Applied) -> (LimitChange, Receipt) {
        self.applied(attempt, Some(applied.old), applied, |limit_state, _| limit_state.settle_on_base())
    }

    fn apply_settings(&mut self, settings: Settings) -> Receipt {
        self.settings = settings;
        self.store_override()
    }

    fn refusal(&self, reason: Refusal) -> LimitRefusal {
        LimitRefusal::Limiter { reason, open_files: self.ceiling.open_files }
    }

    /// Does all that follows from a change that the limiter has made.
    fn applied(
        &mut self,
        attempt: &Attempt,
        old: Option<u32>,
        applied: Applied,
        update: impl FnOnce(&mut LimitState, Timestamp),
    ) -> (LimitChange, Receipt) {
        let time = Timestamp::now();
        self.limit_state.send_modify(|limit_state| {
            limit_state.revision += 1;
            update(limit_state, time);
        });
        self.store_override();
        let Applied { new, active, .. } = applied;
        let record = self.make_record(attempt, time, old, active, Outcome::Applied);
        let revision = record.revision;
        self.history.count(attempt.door, true);
        let receipt = self.storage.record(self.history.position(), record, false);
        let Attempt { door, actor, .. } = attempt;
        let sentence = match old {
            Some(old) => format!("connection limit changed from {old} to {new} by {actor} through {door}"),
            None => format!("connection limit is {new} at {door} ({actor})"),
        };
        tracing::info!(target: "shibudb::limit::changed", %door, %actor, old, new, active, revision,
            outcome = "applied", "{sentence}");
        (LimitChange { revision, old: applied.old, new, active, stored: Stored::NOTHING }, receipt)
    }

    /// Records a refusal.
    fn refused(&mut self, attempt: &Attempt, refusal: &LimitRefusal) -> Option<Receipt> {
        let snapshot = self.limiter.snapshot();
        // The number that the decision was made on, if it was about that number.
        let active = match refusal {
            LimitRefusal::Limiter { reason: Refusal::BelowActive { active, .. }, .. } => *active,
            _ => snapshot.active,
        };
        let old = snapshot.limit;
        let reason = refusal.to_string();
        let outcome = Outcome::Refused { reason: reason.clone() };
        let record = self.make_record(attempt, Timestamp::now(), Some(old), active, outcome);
        let revision = record.revision;
        self.history.count(attempt.door, false);
        let like = Like::new(attempt.door, &attempt.actor, refusal, revision);
        let counted = self.refusals.count(like, record, Instant::now(), || self.history.position());
        self.history.show(counted.position, counted.record.clone());
        let receipt = counted.write.then(|| self.write(counted));
        let Attempt { door, actor, wanted } = attempt;
        let to = wanted.map(|wanted| format!(" to {wanted}")).unwrap_or_default();
        tracing::warn!(target: "shibudb::limit::refused", %door, %actor, old, wanted, active, revision,
            outcome = "refused", reason,
            "connection limit not changed from {old}{to} by {actor} through {door}: {reason}");
        receipt
    }

    fn make_record(
        &self,
        attempt: &Attempt,
        time: Timestamp,
        old: Option<u32>,
        active: u32,
        outcome: Outcome,
    ) -> Record {
        Record {
            time,
            revision: self.limit_state.borrow().revision,
            door: attempt.door,
            actor: attempt.actor.to_string(),
            old,
            new: attempt.wanted,
            active,
            outcome,
            count: None,
            last_time: None,
        }
    }

    /// Has a record written that the history shows already.
    fn write(&self, Counted { position, record, .. }: Counted) -> Receipt {
        self.storage.record(position, record, true)
    }

    /// Has the stored override brought in line with this one.
    fn store_override(&self) -> Receipt {
        let override_ = self.limit_state.borrow().override_.clone().filter(|_| self.settings.persist);
        self.storage.store(override_)
    }
}

/// Replies, unless the asker has gone away meanwhile: what it asked for has happened all the same.
fn answer<T>(reply: Reply<T>, answer: T, receipt: Option<Receipt>) {
    if reply.send((answer, receipt)).is_err() {
        tracing::debug!("the caller of a limit change did not wait for the answer");
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

/// What is below zero is as little a limit as zero is.
fn not_negative(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(0)
}

/// Never 0, which is no process' number.
fn random() -> Result<u64, StartError> {
    getrandom::u64().map(|number| number.max(1)).map_err(StartError::Random)
}
