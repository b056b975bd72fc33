//! The only way to change the limit.
//!
//! One thread applies the requests from all doors one after the other, and it alone makes the
//! record, the log line, the override and the revision that belong to a change. Another thread writes them to
//! disk, since that may take long, or for ever. When a reply arrives, the change is in force, and the
//! reply says which parts of it are stored. Nothing here knows HTTP, TOML or signals; a door translates
//! its input into a [`LimitRequest`] and the answer back into its own language.
//!
//! It is a thread and not a task because the doors must stay open while every worker is busy with clients.
//! It makes no call that waits for a disk or for another party.

mod beginning;
mod decide;
mod decision;
mod history;
mod history_file;
mod limit_state;
#[cfg(test)]
mod model;
mod override_file;
mod record;
mod refusals;
mod request;
mod runner;
mod sentence;
mod storage;
mod subscription;
mod tag;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};

use crate::limiter::Limiter;

pub use history::{Attempts, History};
pub use limit_state::{BaseSource, LimitState, Override, RefusedEdit};
#[doc(hidden)]
pub use override_file::stored_again;
pub use record::{Actor, Door, Outcome, Record, RecordedDoor, User};
pub use request::{
    Amount, Ceiling, Change, ConfigureOutcome, Configured, LimitChange, LimitRefusal, LimitRequest, Reread,
    Settings,
};
pub use storage::Stored;
pub use subscription::{Event, Subscription};
pub use tag::Tag;

use storage::{Receipt, Storage};

/// How many requests may wait for the control thread; beyond that, doors wait in turn.
const QUEUE: usize = 1024;

/// Why control could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored state could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The thread could not be created.
    #[error("cannot start the control thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The system provides no random numbers.
    #[error("cannot get a random number: {0}")]
    Random(#[source] getrandom::Error),
}

/// A handle to the control thread; every door holds one.
#[derive(Debug, Clone)]
pub struct Control {
    requests: mpsc::Sender<Command>,
    limit_state: watch::Receiver<LimitState>,
    history: Arc<History>,
    storage: Storage,
    epoch: u64,
}

#[derive(Debug)]
enum Command {
    Change(LimitRequest, Reply<Result<LimitChange, LimitRefusal>>),
    Configure(Option<NonZeroU32>, Reread, Actor, Reply<ConfigureOutcome>),
    Settings(Settings, Reply<()>),
}

/// Takes an answer, and a receipt for what is to be stored; without one, there is nothing to wait for.
type Reply<T> = oneshot::Sender<(T, Option<Receipt>)>;

impl Control {
    /// Determines the initial limit, makes the limiter, and starts the control thread.
    ///
    /// The initial limit is the configured one, or the override stored in `data_dir` if it was made
    /// against the same base. A limit beyond the ceiling starts at the ceiling, with a warning, and is kept.
    /// The thread ends when the last handle is dropped; pending writes are stored first, unless
    /// the disk does not answer.
    ///
    /// # Errors
    /// [`StartError`] if the files of an earlier run cannot be read.
    pub fn start(
        configured: Configured,
        settings: Settings,
        ceiling: Ceiling,
        data_dir: &Path,
        config_file: &Path,
    ) -> Result<(Self, Limiter, thread::JoinHandle<()>), StartError> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        // It needs only a timer.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let (mut runner, limiter) =
            runner::Runner::open(configured, settings, ceiling, data_dir, config_file)?;
        let control = Self {
            requests,
            limit_state: runner.subscribe(),
            history: runner.history(),
            storage: runner.storage(),
            epoch: runner.epoch(),
        };
        let run = move || {
            runtime.block_on(runner.serve(inbox));
            runner.end();
        };
        let thread = thread::Builder::new().name("control".into()).spawn(run).map_err(StartError::Thread)?;
        Ok((control, limiter, thread))
    }

    /// Applies a change. When this returns, it is in force, or refused. Waits until the change is stored and
    /// recorded as well, but not for a disk that does not answer: the change says what is stored.
    ///
    /// # Errors
    /// [`LimitRefusal`] says why nothing was changed.
    pub async fn change(&self, request: LimitRequest) -> Result<LimitChange, LimitRefusal> {
        let (reply, answer) = oneshot::channel();
        let (result, stored) = self.send(Command::Change(request, reply), answer).await?;
        result.map(|change| LimitChange { stored, ..change })
    }

    /// Applies a change without waiting until it is stored: for callers that report to no one.
    ///
    /// # Errors
    /// As [`Control::change`].
    pub(crate) async fn change_at_once(&self, request: LimitRequest) -> Result<(), LimitRefusal> {
        let (reply, answer) = oneshot::channel();
        let (result, _) = self.ask(Command::Change(request, reply), answer).await?;
        result.map(drop)
    }

    /// Passes on the current `max_connections` of the config file. Acts only if that value has changed,
    /// or if it was refused before: then always on an explicit request, otherwise only if the limit has
    /// not been set since. Waits for the disk as [`Control::change`] does.
    ///
    /// # Errors
    /// [`LimitRefusal::ShuttingDown`]; other refusals are a [`ConfigureOutcome`].
    pub async fn configure(
        &self,
        file: Option<NonZeroU32>,
        reread: Reread,
        actor: Actor,
    ) -> Result<ConfigureOutcome, LimitRefusal> {
        let (reply, answer) = oneshot::channel();
        let (outcome, stored) = self.send(Command::Configure(file, reread, actor, reply), answer).await?;
        Ok(match outcome {
            ConfigureOutcome::Applied(change) => ConfigureOutcome::Applied(LimitChange { stored, ..change }),
            other => other,
        })
    }

    /// Changes the settings of control itself. Waits for the disk as [`Control::change`] does.
    ///
    /// # Errors
    /// [`LimitRefusal::ShuttingDown`].
    pub async fn apply_settings(&self, settings: Settings) -> Result<(), LimitRefusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Settings(settings, reply), answer).await.map(|((), _)| ())
    }

    /// Base, override and revision as they are now.
    pub fn limit_state(&self) -> LimitState {
        self.limit_state.borrow().clone()
    }

    /// The current revision. Read it *before* the limit that it is to describe: the limit is
    /// changed first, so the pair may be an old revision with a new limit, never the reverse.
    pub fn revision(&self) -> u64 {
        self.limit_state.borrow().revision
    }

    /// The tag of a revision that this process has made.
    pub fn tag(&self, revision: u64) -> Tag {
        Tag { epoch: self.epoch, revision }
    }

    /// Why the next start would not begin with the limit in force; `None` if it would.
    pub fn not_stored(&self) -> Option<String> {
        self.storage.trouble()
    }

    /// The last changes and refusals.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Subscribes to every attempt from now on.
    pub fn follow(&self) -> Subscription {
        let mut limit_state = self.limit_state.clone();
        limit_state.mark_unchanged();
        Subscription { records: self.history.follow(), limit_state }
    }

    /// Sends a request and waits until its result is stored.
    async fn send<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<(T, Option<Receipt>)>,
    ) -> Result<(T, Stored), LimitRefusal> {
        let (value, receipt) = self.ask(command, answer).await?;
        let stored = match receipt {
            Some(receipt) => self.storage.wait(receipt).await,
            None => Stored::ALL,
        };
        Ok((value, stored))
    }

    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<(T, Option<Receipt>)>,
    ) -> Result<(T, Option<Receipt>), LimitRefusal> {
        self.requests.send(command).await.map_err(|_| LimitRefusal::ShuttingDown)?;
        answer.await.map_err(|_| LimitRefusal::ShuttingDown)
    }
}
