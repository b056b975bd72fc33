//! Builds everything, binds, notifies systemd, owns the tasks, reloads, drains.
//!
//! There are two runtimes. Sessions have threads of their own and need neither; slow work for clients
//! (logins, administration) has one with a single worker. Everything an operator needs (management, signals, the
//! config file, status) runs on this thread alone, so that no number of busy clients can lock the operator out.
//!
//! Every task is kept. One that ends before it was told to makes the daemon exit with an error, and
//! systemd restarts it.

mod advice;
mod bind;
mod bounded;
mod connections;
mod descriptors;
mod drain;
mod files;
mod follow;
mod memory;
mod modes;
mod paths;
mod pid_file;
mod published;
mod reload;
mod report;
mod run;
mod settings;
mod signal_queue;
mod start;
mod store_state;
mod tasks;
mod trouble;
mod unix_socket;
mod usage;
mod watchdog;

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::auth::{self, FirstAdminError};
use crate::config::{Config, LoadError};
use crate::control;
use crate::logging::{self, Log, LogError};
use crate::owner::{self, Foreign, Owner};
use crate::signals::Held;
use crate::store::OpenError;
use crate::systemd::{self, InheritError};

pub(crate) use bind::BindError;
pub(crate) use paths::make_users_runtime_dir;
pub(crate) use paths::{
    DEFAULT_CONFIG, MANAGEMENT_SOCKET, NoPlace, ROOT_RUNTIME_DIR, look_dirs, make_private_dir,
    make_runtime_dir, runtime_dirs,
};
pub(crate) use pid_file::{FindError, Running, path as pid_file_path};
pub(crate) use start::data_dir_for;

/// What the command line asks of the daemon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The port for clients; 0 takes any free one.
    pub port: Option<u16>,
    /// The initial limit.
    pub max_connections: Option<NonZeroU32>,
    /// The config file; [`DEFAULT_CONFIG`] is used if it exists.
    pub config: Option<PathBuf>,
    /// Where data is kept.
    pub data_dir: Option<PathBuf>,
    /// Where to leave the process id; also the sign that `start` began this process.
    pub pid_file: Option<PathBuf>,
    /// The log file to which standard error goes; this process keeps it short.
    pub log_file: Option<PathBuf>,
    /// The first password of the account `admin`, from the environment.
    pub admin_password: Option<AdminPassword>,
}

/// The first password of the account `admin`. Its `Debug` output never shows it.
#[derive(Clone)]
pub(crate) struct AdminPassword(String);

impl From<String> for AdminPassword {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminPassword(..)")
    }
}

/// Why the daemon ended, other than by request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(String),
    /// A configuration file cannot be read, for a reason that may be temporary.
    #[error("{0}")]
    Unreadable(String),
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// No directory is available for files.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// A required directory or file cannot be created or used.
    #[error("cannot {action} {}: {source}{}", path.display(), advice::of_file(path, source))]
    File {
        /// What was tried: "create", "write".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The data directory belongs to another user, and this process runs as root: it would leave files there that
    /// the other user's server cannot read.
    #[error(
        "{} belongs to user {user}, whose server could not read files created there by root; run as that user: \
         {command}", path.display()
    )]
    OfAnotherUser {
        /// The data directory, or its nearest existing parent.
        path: PathBuf,
        /// Its owner.
        user: String,
        /// What to type instead.
        command: String,
    },
    /// The start has failed, and something in the data directory belongs to another user.
    #[error(
        "{error}; {} belongs to user {owner}, but this server runs as {us}: stop the server, and change the owner \
         with `{command}`", path.display()
    )]
    NotOurs {
        /// Why the start has failed.
        error: Box<RunError>,
        /// What belongs to another user.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The user that this process runs as.
        us: String,
        /// What gives the data directory to that user.
        command: String,
    },
    /// Another daemon holds the PID file.
    #[error("shibudb is already running on this port: {0} is locked")]
    AlreadyRunning(PathBuf),
    /// An inherited socket is missing.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// A socket cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store cannot be opened.
    #[error("{0}{advice}", advice = advice::of_store(.0))]
    Open(#[from] OpenError),
    /// The accounts cannot be read.
    #[error(transparent)]
    Accounts(#[from] auth::OpenError),
    /// The first account cannot be made.
    #[error("cannot make the first account: {0}")]
    FirstAdmin(#[from] FirstAdminError),
    /// The limit's own files cannot be read.
    #[error(transparent)]
    Control(#[from] control::StartError),
    /// No log can be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system refuses something that every process is entitled to.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
    /// A task that should run for as long as the daemon has ended.
    #[error("{0} ended unexpectedly: {1}")]
    TaskEnded(&'static str, String),
}

/// Runs the daemon until it is told to stop, and drains it.
///
/// # Errors
/// [`RunError`] if it cannot start, or cannot go on.
pub(crate) fn run(options: Options, held: Held) -> Result<(), RunError> {
    // First of all: a descriptor opened earlier could be mistaken for an inherited one.
    let inherited = systemd::inherited();
    memory::give_back();
    let log = logging::init(settings::level(&Config::default()), options.log_file.as_deref());
    let _last_words = LastWords(log.as_ref().ok().cloned());
    let result =
        inherited.map_err(RunError::from).and_then(|inherited| run::run(options, held, log?, inherited));
    if let Err(error) = &result {
        systemd::failed(error);
    }
    result
}

/// Sends and writes the pending messages when the daemon ends, also in a panic, for as long as there is
/// a reader, and for at most [`Self::MAX_WAIT`] otherwise.
struct LastWords(Option<Log>);

impl LastWords {
    const MAX_WAIT: Duration = Duration::from_secs(2);
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let begun = Instant::now();
        systemd::flush(Self::MAX_WAIT);
        if let Some(log) = &self.0 {
            log.flush(Self::MAX_WAIT.saturating_sub(begun.elapsed()));
        }
    }
}

impl From<LoadError> for RunError {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Read { source, .. } if may_pass(source) => Self::Unreadable(error.to_string()),
            _ => Self::Config(error.to_string()),
        }
    }
}

/// Whether a file that cannot be read may be readable at the next start without an operator's action. True for a
/// failing disk or remote machine; false for a missing file or permission.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::NotFound
            | Kind::PermissionDenied
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::InvalidFilename
            | Kind::InvalidInput
            | Kind::InvalidData
    ) && rustix::io::Errno::from_io_error(error) != Some(rustix::io::Errno::LOOP)
}

/// Whether a missing permission is the root cause.
fn is_denied(error: &RunError) -> bool {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

impl RunError {
    /// An error for a directory or file that cannot be created or used.
    pub(crate) fn cannot(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }

    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::cannot(action, path, source)
    }

    /// Names the owner in the error if this user lacks a permission on another user's file in the data directory.
    pub(crate) fn blame_owner(self, data_dir: &Path) -> Self {
        if !is_denied(&self) {
            return self;
        }
        match owner::foreign(data_dir, modes::is_ours) {
            None => self,
            Some(Foreign { path, owner }) => {
                let us = Owner::of_this_process();
                Self::NotOurs {
                    error: Box::new(self),
                    path,
                    owner: owner.name,
                    command: us.to_be_given(data_dir),
                    us: us.name,
                }
            }
        }
    }

    fn ended(task: &'static str, why: impl fmt::Display) -> Self {
        Self::TaskEnded(task, why.to_string())
    }
}
