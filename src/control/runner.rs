//! The control thread: handles one request after the other, each [decided](super::decide), in force, and queued to be
//! stored and logged before the next one. It never waits for another party.
//!
//! The order within a change is limit, revision, override and record to [`super::storage`], log, reply; and
//! there override, record, history. A crash in between leaves the old or the new limit for the next start, and
//! never a record of something that did not happen.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::beginning::Beginning;
use super::decide::{Decide, Edit, End, Moment, State, Tick};
use super::decision::{Decision, Effect, Shown};
use super::history_file::HistoryFile;
use super::limit_state::LimitState;
use super::override_file::OverrideFile;
use super::storage::{MAX_WAIT, Receipt, Storage};
use super::{Actor, Ceiling, Command, Configured, History, Override, Reply, Settings, StartError};
use crate::limiter::Limiter;

/// How often it checks whether a waiting edit has become possible, and the state of the disk while
/// a write is pending.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Runner {
    limiter: Limiter,
    state: State,
    limit_state: watch::Sender<LimitState>,
    history: Arc<History>,
    storage: Storage,
    /// The time of the next check; `None` as long as there is nothing to check.
    look: Option<Instant>,
    /// Whether it was notified that the disk does not answer.
    is_stuck: bool,
}

impl Runner {
    pub(super) fn open(
        configured: Configured,
        settings: Settings,
        ceiling: Ceiling,
        data_dir: &Path,
        config_file: &Path,
    ) -> Result<(Self, Limiter), StartError> {
        let history = Arc::new(History::default());
        let history_file = HistoryFile::open(data_dir.join("limit-history.jsonl"), &history);
        let mut override_file = OverrideFile::new(data_dir);
        let stored = read(&mut override_file)?;
        let beginning = Beginning {
            configured,
            settings,
            ceiling,
            epoch: random()?,
            editor: Actor::File(config_file.to_owned()),
            stored: stored.clone(),
            revision: history.latest(1).first().map_or(0, |record| record.revision),
            next: history.position(),
        };
        let (first, decision) = beginning.decide(Timestamp::now());
        let limiter =
            Limiter::new(first, ceiling.connections).expect("a limit within the ceiling is always possible");
        let storage = Storage::start(override_file, stored, history_file, Arc::clone(&history))?;
        let limit_state = watch::Sender::new(decision.state.limit_state.clone());
        let mut runner = Self {
            limiter: limiter.clone(),
            state: decision.state,
            limit_state,
            history,
            storage,
            look: None,
            is_stuck: false,
        };
        runner.carry_out(decision.effects);
        runner.storage.flush(MAX_WAIT);
        runner.storage.show_overdue();
        Ok((runner, limiter))
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
        self.state.tag().epoch
    }

    /// Serves until the last handle is gone.
    pub(super) async fn serve(&mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let wake = self.wake();
            let is_awaited = wake.is_some();
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if is_awaited => self.look(),
            }
        }
    }

    /// Waits until everything is stored, unless the disk does not answer.
    pub(super) fn end(&mut self) {
        self.run(&End);
        self.storage.end();
        if !self.storage.flush(MAX_WAIT) {
            tracing::error!(
                "the disk does not respond: the limit and its history may not be stored for the next start"
            );
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Change(request, reply) => self.reply(&request, reply),
            Command::Configure(file, reread, actor, reply) => {
                self.reply(&Edit { file, reread, actor }, reply);
            }
            Command::Settings(settings, reply) => self.reply(&settings, reply),
        }
    }

    /// Replies, unless the caller has gone away meanwhile: its request is done all the same.
    fn reply<R: Decide>(&mut self, request: &R, reply: Reply<R::Answer>) {
        if reply.send(self.run(request)).is_err() {
            tracing::debug!("the caller of a limit change did not wait for the answer");
        }
    }

    /// Decides, and carries out the decision. Decides again if connections have come or gone meanwhile.
    fn run<R: Decide>(&mut self, request: &R) -> (R::Answer, Option<Receipt>) {
        let mut connections = self.limiter.snapshot();
        let Decision { state, effects, answer, .. } = loop {
            let now = Moment { time: Timestamp::now(), instant: Instant::now(), connections };
            let decision = request.decide(&self.state, &now);
            let Some(limit) = decision.limit else { break decision };
            match self.limiter.exchange(connections, limit) {
                Ok(_) => break decision,
                Err(changed) => connections = changed,
            }
        };
        self.state = state;
        let limit_state = &self.state.limit_state;
        self.limit_state.send_if_modified(|published| {
            let is_other = published != limit_state;
            if is_other {
                published.clone_from(limit_state);
            }
            is_other
        });
        (answer, self.carry_out(effects))
    }

    /// Returns the receipt of the last effect, if that is to be stored.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Option<Receipt> {
        let mut receipt = None;
        for effect in effects {
            match effect {
                Effect::Store(override_) => receipt = Some(self.storage.store(override_)),
                Effect::Count { door, is_applied } => self.history.count(door, is_applied),
                Effect::Record { position, record, shown, write } => {
                    if shown == Shown::Now {
                        self.history.show(position, record.clone());
                    }
                    if write {
                        receipt = Some(self.storage.record(position, record, shown != Shown::WhenStored));
                    }
                }
                Effect::Log(sentence) => sentence.log(),
            }
        }
        receipt
    }

    /// When there is something to do without a request.
    fn wake(&mut self) -> Option<Instant> {
        if self.state.is_waiting() || self.is_stuck || self.storage.is_waiting() {
            self.look.get_or_insert_with(|| Instant::now() + LOOK);
        } else {
            self.look = None;
        }
        [self.look, self.state.deadline()].into_iter().flatten().min()
    }

    /// Handles what has changed by itself.
    fn look(&mut self) {
        self.look = None;
        self.run(&Tick);
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
}

/// The override stored by an earlier run; `None` also if it cannot be parsed, which is logged.
fn read(file: &mut OverrideFile) -> Result<Option<Override>, StartError> {
    let error = match file.read() {
        Ok(stored) => return Ok(stored),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => error,
        Err(source) => return Err(StartError::Read { path: file.path().to_owned(), source }),
    };
    match file.set_aside() {
        Ok(aside) => tracing::error!(path = %file.path().display(), %error,
            "the stored limit in {} cannot be understood and is ignored ({error}); the file is now {}",
            file.path().display(), aside.display()),
        Err(aside) => tracing::error!(path = %file.path().display(), %error, aside = %aside,
            "the stored limit in {} cannot be understood and is ignored ({error}); it cannot be set aside ({aside}), and \
             the next one replaces it",
            file.path().display()),
    }
    Ok(None)
}

/// Never 0, which is not a process' number.
fn random() -> Result<u64, StartError> {
    getrandom::u64().map(|number| number.max(1)).map_err(StartError::Random)
}
