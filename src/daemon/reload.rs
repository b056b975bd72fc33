//! Reading the config file again: load, validate, difference, apply.
//!
//! All or nothing: a file that does not parse or validate changes nothing. One reload at a time,
//! through whichever door it came, because one task owns the [`Reloader`]. It reads no file itself: [`Files`]
//! delivers the contents, and when it does not, the known settings stay in force.
//!
//! The file is a little long because a reload is one transaction: what it decides on, and what it may leave behind.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use super::files::{self, ConfigReading, ConfigText, Files};
use super::settings::{self, CommandLine};
use super::trouble::{Problems, silent};
use super::usage;
use crate::config::{Change, Config, Difference, Key, LoadError, Parsed};
use crate::control::{Actor, ConfigureOutcome, Control, Door, LimitRefusal, Reread};
use crate::logging::Log;
use crate::management::{Token, TokenError};
use crate::systemd;

/// What caused the files to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) door: Door,
    pub(crate) actor: Actor,
}

/// What a successful reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Settings in force since, `max_connections` aside.
    pub(crate) changed: Vec<Change>,
    /// Every setting that waits for a restart, from this edit or an earlier one.
    pub(crate) waiting: Vec<Change>,
    /// Whether they differ from the previous ones.
    pub(crate) waiting_is_news: bool,
    /// The result for `max_connections`.
    pub(crate) limit: ConfigureOutcome,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The file cannot be read or has problems.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It conflicts with the command line of this process.
    #[error("{path}: {problem}")]
    Conflict { path: PathBuf, problem: String },
    /// A writer has it open. The watcher waits until the writer closes it.
    #[error("{0}: is open for writing; it is read once the writer closes it")]
    BeingWritten(PathBuf),
    /// A writer may be in the middle of it. The watcher waits for the end of that.
    #[error(
        "{0}: may be incomplete, since its last line has no line break; it is read once it ends with one, or has not \
         changed for {max_wait} seconds", max_wait = files::MAX_WAIT.as_secs()
    )]
    Incomplete(PathBuf),
    /// Its file system hangs.
    #[error("{}", silent(file, stays, path, *since))]
    Silent { file: &'static str, stays: &'static str, path: PathBuf, since: Timestamp },
    /// The thread that reads it has ended, and so will the daemon.
    #[error("{0}: cannot be read: the thread that reads it has exited")]
    Unwatched(PathBuf),
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
    /// Whether it failed because of the token file.
    pub(crate) token_failed: bool,
}

/// The running settings, and where they come from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// What runs: for a setting that needs a restart, what the process was started with.
    pub(crate) running: Config,
    /// What the file and the command line ask for together.
    pub(crate) wanted: Config,
    /// The contents of the file.
    pub(crate) file: Parsed,
    /// Which settings the file named at the start: the source of those that need a restart.
    pub(crate) set_at_start: BTreeSet<Key>,
    /// The token that management clients must send, if any.
    pub(crate) token: Option<Token>,
    pub(crate) command_line: CommandLine,
    /// The data directory if neither file nor command line names one; `None` if there is no default.
    pub(crate) default_data_dir: Option<PathBuf>,
    /// The file, whether or not it is there.
    pub(crate) path: PathBuf,
    /// The text read last, valid or not: hints are compared with it.
    pub(crate) text: Text,
    pub(crate) last_reload: Option<LastReload>,
    pub(crate) problems: Problems,
    /// When the file was last read and applied: at the start, if not since.
    pub(crate) in_force_since: Timestamp,
}

/// The text of the file, or why there is none.
pub(crate) type Text = Result<Vec<u8>, String>;

/// Owns the settings and changes them.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(super) loaded: watch::Sender<Loaded>,
    control: Control,
    log: Log,
}

impl Reloader {
    pub(crate) fn new(loaded: Loaded, control: Control, log: Log) -> Self {
        Self { loaded: watch::Sender::new(loaded), control, log }
    }

    /// The settings, and a notification of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Loaded> {
        self.loaded.subscribe()
    }

    /// Has the files read and applies them. Logs the outcome, once.
    pub(super) async fn reload(&self, files: &mut Files, asked: Asked) -> Result<Reloaded, ReloadError> {
        let (path, token_file) = {
            let loaded = self.loaded.borrow();
            (loaded.path.clone(), loaded.running.management.token_file.clone())
        };
        let reading = files.read_token(token_file.unwrap_or_default()).await;
        if let Some(reading) = reading {
            // An edit of the config file is left for later: the watcher finds it anyway.
            let result = reading.and_then(|reading| {
                self.take_token(&reading);
                reading.map_err(|error| ReloadError::Token { path: path.clone(), error })
            });
            if let Err(error) = result {
                systemd::reloading();
                return self.over(Err(error), asked);
            }
        }
        let reading = files.read_config(&path).await;
        self.take(reading, Reread::Asked, asked).await
    }

    /// Applies a config file that may have changed; `None` if its text is the same as before.
    pub(super) async fn found(&self, reading: ConfigReading) -> Option<Result<Reloaded, ReloadError>> {
        let asked = {
            let loaded = self.loaded.borrow();
            if comparable(&loaded, &reading) == loaded.text {
                return None;
            }
            Asked { door: Door::Config, actor: Actor::File(loaded.path.clone()) }
        };
        Some(self.take(Ok(reading), Reread::Found, asked).await)
    }

    async fn take(
        &self,
        reading: Result<ConfigReading, ReloadError>,
        reread: Reread,
        asked: Asked,
    ) -> Result<Reloaded, ReloadError> {
        let loaded = self.loaded.borrow().clone();
        let text = match &reading {
            Ok(reading) => comparable(&loaded, reading),
            Err(error) => Err(error.to_string()),
        };
        self.loaded.send_modify(|loaded| loaded.text = text);
        systemd::reloading();
        let result = self.apply(&loaded, reading, reread).await;
        self.over(result, asked)
    }

    /// Announces the end of a reload and returns its result.
    fn over(
        &self,
        result: Result<Reloaded, ReloadError>,
        Asked { door, actor }: Asked,
    ) -> Result<Reloaded, ReloadError> {
        let last = LastReload {
            time: Timestamp::now(),
            door,
            result: result.as_ref().map(drop).map_err(ToString::to_string),
            token_failed: matches!(result, Err(ReloadError::Token { .. })),
        };
        self.loaded.send_modify(|loaded| {
            if last.result.is_ok() {
                loaded.in_force_since = last.time;
            }
            loaded.last_reload = Some(last);
        });
        match &result {
            Ok(reloaded) => tell(reloaded, door, &actor),
            Err(error) => tracing::error!(target: "shibudb::reload::failed", %door, %actor,
                "the config file was not applied, and the settings are unchanged ({}): {error}",
                occasion(door, &actor)),
        }
        // Also after a failure: otherwise systemd would keep waiting.
        let told = match &result {
            Err(error) => Some(usage::problem(error)),
            Ok(_) => self.control.limit_state().refused_edit.as_ref().map(usage::refused),
        };
        systemd::reloaded(told.as_deref());
        result
    }

    async fn apply(
        &self,
        loaded: &Loaded,
        reading: Result<ConfigReading, ReloadError>,
        reread: Reread,
    ) -> Result<Reloaded, ReloadError> {
        let file = match reading? {
            Err(error) if error.is_missing() && loaded.may_be_absent() => loaded.file.clone(),
            Err(error) => return Err(error.into()),
            Ok(ConfigText { parsed, other_token: None, .. }) => parsed?,
            // All that matters about another token file is that the next start can use it.
            Ok(ConfigText { other_token: Some(error), .. }) => {
                return Err(ReloadError::Token { path: loaded.path.clone(), error });
            }
        };
        let wanted = loaded.command_line.over(&file.config);
        settings::validate(&wanted)
            .map_err(|problem| ReloadError::Conflict { path: loaded.path.clone(), problem })?;
        let running = settings::live_of(&wanted, &loaded.running);
        let mut changed = Difference::between(&loaded.running, &running).live;
        changed.retain(|change| change.key != Key::MaxConnections);
        let waiting = Difference::between(&running, &wanted).restart;
        let waited = Difference::between(&loaded.running, &loaded.wanted).restart;

        self.control.apply_settings(settings::control(&running)).await?;
        self.log.set_level(settings::level(&running));
        let limit = settings::file_limit(&file);
        self.loaded.send_modify(|loaded| {
            loaded.running = running;
            loaded.wanted = wanted;
            loaded.file = file;
        });
        // The record names the file, whatever caused the reading: the file is what requests the limit.
        let limit = self.control.configure(limit, reread, Actor::File(loaded.path.clone())).await?;
        let waiting_is_news = waiting != waited;
        Ok(Reloaded { changed, waiting, waiting_is_news, limit })
    }
}

/// The text that a reading is compared with and as. If no file was named and the default one never existed, a missing
/// file is equal to an empty one.
fn comparable(loaded: &Loaded, reading: &ConfigReading) -> Text {
    match reading {
        Ok(text) => Ok(text.bytes.clone()),
        Err(error) if error.is_missing() && loaded.may_be_absent() => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

impl Loaded {
    /// Records the port that "any free one" has become.
    pub(crate) fn settle_on_port(&mut self, port: u16) {
        self.running.port = port;
        self.wanted.port = port;
        self.command_line.port = self.command_line.port.map(|_| port);
    }

    /// Whether there is a config file, or was when it was read last.
    pub(crate) fn has_file(&self) -> bool {
        !(self.may_be_absent() && self.text.as_ref().is_ok_and(Vec::is_empty))
    }

    fn may_be_absent(&self) -> bool {
        self.command_line.config.is_none() && self.file.set.is_empty()
    }
}

/// Logs the settings that wait for a restart when they are new; `GET /config` always shows them.
fn tell(reloaded: &Reloaded, door: Door, actor: &Actor) {
    let list = |changes: &[Change]| changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let occasion = occasion(door, actor);
    if reloaded.changed.is_empty() {
        tracing::info!(%door, %actor, "config file read again ({occasion})");
    } else {
        tracing::info!(%door, %actor, "config file read again ({occasion}): {}", list(&reloaded.changed));
    }
    if !reloaded.waiting.is_empty() && reloaded.waiting_is_news {
        tracing::warn!(%door, %actor, "these settings wait for a restart: {} ({occasion})",
            list(&reloaded.waiting));
    }
}

/// Why the files were read again, in words.
fn occasion(door: Door, actor: &Actor) -> String {
    match actor {
        Actor::File(path) => format!("an edit of {}, found through {door}", path.display()),
        asked => format!("as asked by {asked} through {door}"),
    }
}
