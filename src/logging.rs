//! Where log lines go and what they look like.
//!
//! Under systemd they go to the journal with their fields, each as `SHIBUDB_<NAME>`: the connection
//! limit's `SHIBUDB_DOOR`, `SHIBUDB_ACTOR`, `SHIBUDB_OLD`, `SHIBUDB_NEW`, `SHIBUDB_ACTIVE`,
//! `SHIBUDB_REVISION` and `SHIBUDB_OUTCOME`, say. Events that scripts wait for carry a `MESSAGE_ID`
//! ([`MESSAGE_IDS`]). Elsewhere they are lines on standard error, in colour only on a terminal.
//!
//! **The sentence is complete.** Fields are for programs: `journalctl` does not show them, and a line on standard
//! error has none. So every sentence itself names who, what and why (`tests/library/log_sentences.rs` checks this).
//! Plain text in the journal, from before the log begins and from commands without a log, carries its
//! [`Priority`], so that `journalctl -p err` finds it.
//!
//! The target of an event, if it is one of [`MESSAGE_IDS`], is all that other modules need to know of this
//! one. The manual page shibudb(1) documents the names and the ids.
//!
//! **Logging never waits.** The logging thread formats its line and puts it into a bounded [`queue`]; a
//! thread of its own, the [`writer`], moves it from there to its [`sink`], and only that thread waits when the
//! other side does not read. A line that does not fit is dropped and counted ([`Log::dropped`]); the writer logs
//! how many were dropped once there is room again. A panic is logged through the same queue ([`panics`]),
//! with reserved room. The end of the process waits for the queue, for a bounded time ([`Log::flush`]).

mod file;
mod journal;
mod panics;
mod priority;
mod queue;
mod sentence;
mod sink;
mod writer;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

pub use priority::{Priority, write};

use priority::stderr_is_the_journal;
use queue::Queue;
use sentence::Sentence;
use sink::Sink;

/// The target of administrative acts.
pub(crate) const AUDIT: &str = "shibudb::audit";

/// Targets whose events carry a `MESSAGE_ID` in the journal, and the id.
pub const MESSAGE_IDS: [(&str, &str); 6] = [
    ("shibudb::limit::changed", "734c51646dca44dcb77eecd0a75cde3c"),
    ("shibudb::limit::refused", "014c00de7ce042ba82e05b4cb88d8bf1"),
    ("shibudb::rejections", "fe8d8a3f7f4d4821b565edfa9b17d34a"),
    ("shibudb::reload::failed", "78f550e9b7854994a58e65836e4fb056"),
    ("shibudb::store::trouble", "85417a481001455f94deb3ce3e5fcb45"),
    (AUDIT, "6bcfafbc73984b9f81c67aa455ed229d"),
];

/// Crates whose lines are logged only at level `debug`. They also return their errors to the caller, which knows better
/// what they mean: a full disk is not a "possibly hardware-related" failure.
const QUIET: [&str; 3] = ["fjall", "lsm_tree", "notify"];

/// The log of this process; its level can change while it runs.
#[derive(Debug, Clone)]
pub struct Log {
    level: reload::Handle<Targets, Registry>,
    queue: Arc<Queue>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The process has a log already.
    #[error("cannot begin logging: {0}")]
    Init(#[from] TryInitError),
    /// The thread that writes it cannot be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
}

/// Starts logging for the whole process, panics included. An unreachable journal does not stop the server:
/// the lines then go to standard error. If that is the file `log_file`, the file is kept short.
///
/// # Errors
/// [`LogError`]
pub(crate) fn init(level: LevelFilter, log_file: Option<&Path>) -> Result<Log, LogError> {
    let queue = Arc::new(Queue::default());
    let (filter, level) = reload::Layer::new(targets(level));
    let registry = tracing_subscriber::registry().with(filter);
    let journal = stderr_is_the_journal().then(|| writer::spawn_for_journal(Arc::clone(&queue))).transpose();
    let unreachable = journal.as_ref().err().map(ToString::to_string);
    if let Ok(Some(())) = journal {
        registry.with(journal::Record::into(&queue)).try_init()?;
    } else {
        let lines = fmt::layer()
            .fmt_fields(Sentence)
            .with_writer(queue::Lines::of(&queue, stderr_is_the_journal()))
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            // The logging thread would print them.
            .log_internal_errors(false);
        registry.with(lines).try_init()?;
        let sink = log_file.map_or(Sink::StandardError, |path| Sink::File(file::LogFile::of_stderr(path)));
        writer::spawn(Arc::clone(&queue), sink).map_err(LogError::Thread)?;
    }
    panics::log_them();
    if let Some(error) = unreachable {
        tracing::warn!(error, "cannot reach the journal, so entries have no fields: {error}");
    }
    Ok(Log { level, queue })
}

impl Log {
    /// Changes the level.
    pub(crate) fn set_level(&self, level: LevelFilter) {
        if let Err(error) = self.level.reload(targets(level)) {
            tracing::error!(%error, "the log level stays as it was, since it could not be changed: {error}");
        }
    }

    /// How many lines were dropped so far: there was no room in the queue, or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Waits at most `longest` until everything logged is written. Returns whether it is.
    pub fn flush(&self, longest: Duration) -> bool {
        self.queue.flush(longest)
    }
}

/// Makes panics before the log begins, or in a process without a log, carry their priority if the journal reads
/// standard error.
pub(crate) fn mark_early_panics() {
    if stderr_is_the_journal() {
        panics::write_them();
    }
}

/// Writes the final error of a process to standard error, and waits for at most `longest` until the reader has taken
/// it.
pub(crate) fn print_error(message: impl std::fmt::Display, longest: Duration) {
    let line = priority::as_read(Priority::Error, &format!("{message}\n"));
    let (done, is_done) = std::sync::mpsc::channel();
    let write = move || {
        // Without standard error the message is lost.
        sink::write_to_stderr(line.as_bytes()).ok();
        done.send(()).ok();
    };
    if thread::Builder::new().name("last-line".into()).spawn(write).is_ok() {
        is_done.recv_timeout(longest).ok();
    }
}

fn targets(level: LevelFilter) -> Targets {
    let quiet = if level < LevelFilter::DEBUG { LevelFilter::OFF } else { level };
    Targets::new().with_default(level).with_targets(QUIET.map(|name| (name, quiet)))
}
