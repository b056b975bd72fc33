//! The control thread: one request after the other, each decided, stored, recorded and logged
//! before the next is looked at.
//!
//! The order within a change is limit, override on disk, revision, history, log, reply. A crash in
//! between leaves the old or the new limit for the next start, and never a record of something
//! that did not happen.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::history::HistoryFile;
use super::lost_revision::LostRevision;
use super::override_file::OverrideFile;
use super::standing::Standing;
use super::{
    Actor, Amount, BaseSource, Ceiling, Change, Command, ConfigureOutcome, Configured, Door, History,
    LimitChange, LimitRefusal, LimitRequest, Outcome, Override, Record, RefusedEdit, Reread, Settings,
    StartError,
};
use crate::limiter::{Applied, Limiter, Refusal};

pub(super) struct Worker {
    limiter: Limiter,
    ceiling: Ceiling,
    settings: Settings,
    standing: watch::Sender<Standing>,
    history: Arc<History>,
    history_file: HistoryFile,
    override_file: OverrideFile,
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
        let read_error = |path: PathBuf| move |source| StartError::Read { path, source };
        let history = Arc::new(History::default());
        let lost_revision = LostRevision::open(data_dir.join("limit-revision"));
        let lost = lost_revision.read();
        let history_file = HistoryFile::open(data_dir.join("limit-history.jsonl"), lost_revision, &history);
        let override_file = OverrideFile::new(data_dir);
        override_file.clean_up().map_err(read_error(data_dir.to_owned()))?;

        let mut standing = Standing::new(configured);
        standing.revision = history.latest(1).first().map_or(0, |record| record.revision).max(lost);
        let old = None;
        let base = within(ceiling, standing.base);
        standing.override_ = stored_override(&override_file, &standing, settings, ceiling)?;
        let first = standing.override_.as_ref().map_or(base, |o| within(ceiling, o.limit));
        let limiter =
            Limiter::new(first, ceiling.connections).expect("a limit within the ceiling is always possible");

        let actor = match (&standing.override_, standing.base_source) {
            (Some(_), _) => Actor::StoredOverride,
            (None, BaseSource::CommandLine) => Actor::CommandLine,
            (None, BaseSource::File) => Actor::File(config_file.to_owned()),
            (None, BaseSource::Default) => Actor::Default,
        };
        let mut worker = Self {
            limiter: limiter.clone(),
            ceiling,
            settings,
            standing: watch::Sender::new(standing),
            history,
            history_file,
            override_file,
        };
        worker.warn_beyond_ceiling(first);
        let attempt = Attempt { door: Door::Startup, actor, wanted: Some(first.get().into()) };
        worker.applied(&attempt, old, Applied { old: first.get(), new: first.get(), active: 0 }, |_, _| {});
        Ok((worker, limiter))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    /// Serves until the last handle is gone.
    pub(super) fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                Command::Change(request, reply) => answer(reply, self.change(request)),
                Command::Configure(file, reread, actor, reply) => {
                    answer(reply, self.configure(file, reread, actor));
                }
                Command::Settings(settings, reply) => {
                    self.apply_settings(settings);
                    answer(reply, ());
                }
            }
        }
    }

    fn change(&mut self, request: LimitRequest) -> Result<LimitChange, LimitRefusal> {
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
            Change::Reset => within(self.ceiling, self.standing.borrow().base).get().into(),
        };
        let attempt = Attempt { door, actor, wanted: Some(wanted) };
        let current = self.standing.borrow().revision;
        if let Some(expected) = if_revision.filter(|expected| !expected.contains(&current)) {
            let expected = expected.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
            return Err(self.refused(&attempt, LimitRefusal::RevisionMismatch { expected, current }));
        }
        let result = match change {
            Change::Increase(amount) => self.limiter.increase(by(amount)),
            Change::Decrease(amount) => self.limiter.decrease(by(amount)),
            Change::Set(_) | Change::Reset => self.limiter.set(not_negative(wanted)),
        };
        match result {
            Ok(applied) => Ok(self.applied(&attempt, Some(applied.old), applied, |standing, time| {
                if change == Change::Reset {
                    standing.settle_on_base();
                } else {
                    standing.set_at_run_time(applied.new, attempt.door, attempt.actor.to_string(), time);
                }
            })),
            Err(reason) => Err(self.refused(&attempt, self.refusal(reason))),
        }
    }

    fn configure(&mut self, file: Option<NonZeroU32>, reread: Reread, actor: Actor) -> ConfigureOutcome {
        if !self.standing.borrow().is_news(file, reread) {
            return ConfigureOutcome::Unchanged;
        }
        self.standing.send_modify(|standing| standing.edit(file));
        let base = self.standing.borrow().base;
        let attempt = Attempt { door: Door::Config, actor, wanted: Some(base.into()) };
        match self.limiter.set(base.into()) {
            Ok(applied) => ConfigureOutcome::Applied(self.applied(
                &attempt,
                Some(applied.old),
                applied,
                |standing, _| standing.settle_on_base(),
            )),
            Err(reason) => {
                let refusal = self.refusal(reason);
                let reason = in_few_words(&reason);
                self.standing.send_modify(|standing| {
                    standing.refused_edit = Some(RefusedEdit { wanted: base, reason });
                });
                ConfigureOutcome::Refused { wanted: base, refusal: self.refused(&attempt, refusal) }
            }
        }
    }

    fn apply_settings(&mut self, settings: Settings) {
        let persist_changed = self.settings.persist != settings.persist;
        self.settings = settings;
        if persist_changed {
            self.store_override(&self.standing.borrow());
        }
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
        update: impl FnOnce(&mut Standing, Timestamp),
    ) -> LimitChange {
        let time = Timestamp::now();
        let mut standing = self.standing.borrow().clone();
        standing.revision += 1;
        update(&mut standing, time);
        let revision = standing.revision;
        self.store_override(&standing);
        self.standing.send_replace(standing);
        let Applied { new, active, .. } = applied;
        let record = self.record(attempt, time, old, active, Outcome::Applied);
        self.history_file.append(&self.history, record);
        tracing::info!(target: "shibudb::limit::changed", door = %attempt.door, actor = %attempt.actor,
        old, new, active, revision, outcome = "applied",
        "{}", match old {
            Some(old) => format!("connection limit changed from {old} to {new}"),
            None => format!("connection limit is {new}"),
        });
        LimitChange { revision, old: applied.old, new, active }
    }

    /// Records a refusal and hands its reason back.
    fn refused(&mut self, attempt: &Attempt, refusal: LimitRefusal) -> LimitRefusal {
        let snapshot = self.limiter.snapshot();
        // The number that the decision was made on, if it was about that number.
        let active = match &refusal {
            LimitRefusal::Limiter { reason: Refusal::BelowActive { active, .. }, .. } => *active,
            _ => snapshot.active,
        };
        let old = snapshot.limit;
        let reason = refusal.to_string();
        let outcome = Outcome::Refused { reason: reason.clone() };
        let record = self.record(attempt, Timestamp::now(), Some(old), active, outcome);
        let revision = record.revision;
        self.history_file.append(&self.history, record);
        tracing::warn!(target: "shibudb::limit::refused", door = %attempt.door, actor = %attempt.actor,
            old, wanted = attempt.wanted, active, revision, outcome = "refused", reason,
            "connection limit not changed: {reason}");
        refusal
    }

    fn record(
        &self,
        attempt: &Attempt,
        time: Timestamp,
        old: Option<u32>,
        active: u32,
        outcome: Outcome,
    ) -> Record {
        let revision = self.standing.borrow().revision;
        let actor = attempt.actor.to_string();
        Record { time, revision, door: attempt.door, actor, old, new: attempt.wanted, active, outcome }
    }

    /// Brings the stored override in line with this one. A failure does not undo the change: it is in force,
    /// and only the next start will not know of it.
    fn store_override(&self, standing: &Standing) {
        let wanted = standing.override_.as_ref().filter(|_| self.settings.persist);
        if let Err(error) = self.override_file.write(wanted) {
            tracing::error!(path = %self.override_file.path().display(), %error,
                "could not store the limit for the next start; it is in force until then");
        }
    }

    /// Says that the configured limit cannot be had, and what the server starts with: the most it can hold, or
    /// a stored override.
    fn warn_beyond_ceiling(&self, first: NonZeroU32) {
        let (base, ceiling) = (self.standing.borrow().base, self.ceiling);
        if base > ceiling.connections.get() {
            tracing::warn!(
                configured = base,
                ceiling = ceiling.connections,
                open_files = ceiling.open_files,
                "max_connections = {base} is more than this process can hold; starting with {first} \
                 (open-file limit {}; raise LimitNOFILE= in the unit, or `ulimit -n`)",
                ceiling.open_files
            );
        }
    }
}

/// Replies, unless the asker has gone away meanwhile: what it asked for has happened all the same.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("whoever asked for a limit change did not wait for the answer");
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

/// The override that an earlier run stored, if it still counts.
fn stored_override(
    file: &OverrideFile,
    standing: &Standing,
    settings: Settings,
    ceiling: Ceiling,
) -> Result<Option<Override>, StartError> {
    let stored = match file.read() {
        Ok(stored) => stored,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            tracing::error!(path = %file.path().display(), %error,
                "the stored limit cannot be understood and is ignored");
            None
        }
        Err(source) => return Err(StartError::Read { path: file.path().to_owned(), source }),
    };
    let Some(stored) = stored else { return Ok(None) };
    let (limit, base) = (stored.limit, standing.base);
    if !settings.persist {
        tracing::info!(limit, base, "a stored limit of {limit} is dropped, since persist = false");
        Ok(None)
    } else if stored.base != base {
        tracing::info!(
            limit,
            base,
            was = stored.base,
            "a stored limit of {limit} is dropped: the configured limit was {} then and is {base} now",
            stored.base
        );
        Ok(None)
    } else if NonZeroU32::new(limit).is_none_or(|limit| limit > ceiling.connections) {
        tracing::warn!(
            limit,
            base,
            ceiling = ceiling.connections,
            "a stored limit of {limit} is dropped: this process can hold at most {} connections (open-file limit {})",
            ceiling.connections,
            ceiling.open_files
        );
        Ok(None)
    } else {
        tracing::info!(limit, base, door = %stored.door, actor = stored.actor,
            "using the limit of {limit} that {} set through {} in place of the configured {base}; \
             `shibudb manager PORT reset` goes back", stored.actor, stored.door);
        Ok(Some(stored))
    }
}

fn within(ceiling: Ceiling, limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).map_or(NonZeroU32::MIN, |limit| limit.min(ceiling.connections))
}
