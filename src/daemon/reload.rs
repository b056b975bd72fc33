//! Reading the config file again: load, validate, difference, apply.
//!
//! All or nothing: a file that does not parse or validate changes nothing. One reload at a time,
//! whichever door it came through, because one task owns the [`Reloader`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use super::settings::{self, CommandLine};
use super::usage;
use crate::config::{self, Change, Config, Difference, Key, LoadError, Parsed};
use crate::control::{Actor, ConfigureOutcome, Control, Door, LimitRefusal, Reread};
use crate::logging::Log;
use crate::management::{Token, TokenError};
use crate::systemd;
use crate::watch::Watcher;

/// Why the file is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// It may have changed. If it has not, nothing happens and nothing is logged.
    Hint,
    /// Somebody asks for it.
    Request { door: Door, actor: Actor },
}

/// What a good reload has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Settings in force since, `max_connections` aside.
    pub(crate) changed: Vec<Change>,
    /// Every setting that waits for a restart, from this edit or an earlier one.
    pub(crate) waiting: Vec<Change>,
    /// What became of `max_connections`.
    pub(crate) limit: ConfigureOutcome,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The file cannot be read or has problems.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not go together with the command line of this process.
    #[error("{path}: {problem}")]
    Conflict { path: PathBuf, problem: String },
    /// A writer is in the middle of it. The watcher waits for the end of that.
    #[error("{0}: is being written right now; it is read as soon as whoever writes it closes it")]
    BeingWritten(PathBuf),
    /// The token of the management API cannot be read.
    #[error("{path}: {error}")]
    Token { path: PathBuf, error: TokenError },
    /// The server is ending.
    #[error(transparent)]
    ShuttingDown(#[from] LimitRefusal),
}

/// The last attempt to reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastReload {
    pub(crate) time: Timestamp,
    pub(crate) door: Door,
    /// The error, if it failed.
    pub(crate) result: Result<(), String>,
}

/// The settings that run, and where they come from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// What runs: for a setting that needs a restart, what the process was started with.
    pub(crate) running: Config,
    /// What the file and the command line ask for together.
    pub(crate) wanted: Config,
    /// What the file said.
    pub(crate) file: Parsed,
    /// Which settings the file named at the start: those that need a restart come from there.
    pub(crate) set_at_start: BTreeSet<Key>,
    /// What management clients have to send, if anything.
    pub(crate) token: Option<Token>,
    pub(crate) command_line: CommandLine,
    /// The file, whether or not it is there.
    pub(crate) path: PathBuf,
    /// What was read last, good or bad: what a hint is compared with.
    pub(crate) text: Text,
    pub(crate) last_reload: Option<LastReload>,
    /// When the file was last read and put in force: at the start, if not since.
    pub(crate) in_force_since: Timestamp,
}

/// The text of the file, or why there is none.
pub(crate) type Text = Result<Vec<u8>, String>;

/// Owns the settings and changes them.
#[derive(Debug)]
pub(crate) struct Reloader {
    loaded: watch::Sender<Loaded>,
    control: Control,
    log: Log,
}

impl Reloader {
    pub(crate) fn new(loaded: Loaded, control: Control, log: Log) -> Self {
        Self { loaded: watch::Sender::new(loaded), control, log }
    }

    /// The settings, and word of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Loaded> {
        self.loaded.subscribe()
    }

    /// Reads the file and applies what it says. The outcome is logged here, once.
    ///
    /// A hint that turns out to be none yields `None`.
    pub(crate) async fn reload(
        &self,
        watcher: &mut Watcher,
        trigger: Trigger,
    ) -> Option<Result<Reloaded, ReloadError>> {
        let loaded = self.loaded.borrow().clone();
        let text = match watcher.read(|_| read(&loaded)).await {
            Some(text) => text.map_err(ReloadError::from),
            None if trigger == Trigger::Hint => return None,
            None => Err(ReloadError::BeingWritten(loaded.path.clone())),
        };
        let comparable = text.as_ref().map(Vec::clone).map_err(ToString::to_string);
        let (reread, door, actor) = match trigger {
            Trigger::Hint if comparable == loaded.text => return None,
            Trigger::Hint => (Reread::Found, Door::Config, Actor::File(loaded.path.clone())),
            Trigger::Request { door, actor } => (Reread::Asked, door, actor),
        };
        systemd::reloading();
        self.loaded.send_modify(|loaded| loaded.text = comparable);
        let result = self.apply(&loaded, text, reread).await;
        let last = LastReload {
            time: Timestamp::now(),
            door,
            result: result.as_ref().map(drop).map_err(ToString::to_string),
        };
        self.loaded.send_modify(|loaded| {
            if last.result.is_ok() {
                loaded.in_force_since = last.time;
            }
            loaded.last_reload = Some(last);
        });
        match &result {
            Ok(reloaded) => {
                let waited = Difference::between(&loaded.running, &loaded.wanted).restart;
                tell(reloaded, &waited, door, &actor);
            }
            Err(error) => tracing::error!(target: "shibudb::reload::failed", %door, %actor,
                "the config file was not applied, the settings stay as they are: {error}"),
        }
        // Also after a failure: systemd would wait for it otherwise.
        systemd::reloaded(result.as_ref().err().map(usage::problem).as_deref());
        Some(result)
    }

    async fn apply(
        &self,
        loaded: &Loaded,
        text: Result<Vec<u8>, ReloadError>,
        reread: Reread,
    ) -> Result<Reloaded, ReloadError> {
        let text = text?;
        let file = if text.is_empty() && loaded.may_be_absent() {
            loaded.file.clone()
        } else {
            config::parse_file(&loaded.path, &text)?
        };
        let wanted = loaded.command_line.over(&file.config);
        settings::validate(&wanted)
            .map_err(|problem| ReloadError::Conflict { path: loaded.path.clone(), problem })?;
        let running = settings::live_of(&wanted, &loaded.running);
        let token = settings::token(&wanted)
            .map_err(|error| ReloadError::Token { path: loaded.path.clone(), error })?;
        // Of another file it was only worth knowing that the next start can use it.
        let same_file = wanted.management.token_file == running.management.token_file;
        let token = if same_file { token } else { loaded.token.clone() };
        let mut changed = Difference::between(&loaded.running, &running).live;
        changed.retain(|change| change.key != Key::MaxConnections);
        let waiting = Difference::between(&running, &wanted).restart;

        self.control.apply_settings(settings::control(&running)).await?;
        self.log.set_level(settings::level(&running));
        let limit = settings::file_limit(&file);
        self.loaded.send_modify(|loaded| {
            loaded.running = running;
            loaded.wanted = wanted;
            loaded.file = file;
            loaded.token = token;
        });
        // The record names the file, whoever had it read: the file is what asks for the limit.
        let limit = self.control.configure(limit, reread, Actor::File(loaded.path.clone())).await?;
        Ok(Reloaded { changed, waiting, limit })
    }
}

/// Reads the file. Where nobody named one and the default one was never there, no text is as good as
/// one that says nothing.
fn read(loaded: &Loaded) -> Result<Vec<u8>, LoadError> {
    match config::read(&loaded.path) {
        Err(error) if error.is_missing() && loaded.may_be_absent() => Ok(Vec::new()),
        result => result,
    }
}

impl Loaded {
    /// Says which port "any free one" has turned out to be.
    pub(crate) fn settle_on_port(&mut self, port: u16) {
        self.running.port = port;
        self.wanted.port = port;
        self.command_line.port = self.command_line.port.map(|_| port);
    }

    fn may_be_absent(&self) -> bool {
        self.command_line.config.is_none() && self.file.set.is_empty()
    }
}

/// What waits for a restart is told when it is not what `waited` already; `GET /config` shows it always.
fn tell(reloaded: &Reloaded, waited: &[Change], door: Door, actor: &Actor) {
    let list = |changes: &[Change]| changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if reloaded.changed.is_empty() {
        tracing::info!(%door, %actor, "config file read again");
    } else {
        tracing::info!(%door, %actor, "config file read again: {}", list(&reloaded.changed));
    }
    if !reloaded.waiting.is_empty() && reloaded.waiting != waited {
        tracing::warn!(%door, %actor, "these settings wait for a restart: {}", list(&reloaded.waiting));
    }
}
