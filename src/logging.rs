//! Where log lines go and how they look.
//!
//! Under systemd they go to the journal with their fields, each as `SHIBUDB_<NAME>`: the connection
//! limit's `SHIBUDB_DOOR`, `SHIBUDB_ACTOR`, `SHIBUDB_OLD`, `SHIBUDB_NEW`, `SHIBUDB_ACTIVE`,
//! `SHIBUDB_REVISION` and `SHIBUDB_OUTCOME`, say. Events that scripts wait for carry a `MESSAGE_ID`
//! ([`MESSAGE_IDS`]). Elsewhere they are lines on standard error, in colour only on a terminal.
//!
//! An event's target, if it is one of [`MESSAGE_IDS`], is all that a room needs to know of this
//! module. The manual page shibudb(1) documents the names and the ids.

mod file;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Targets whose events carry a `MESSAGE_ID` in the journal, and the id.
pub const MESSAGE_IDS: [(&str, &str); 4] = [
    ("shibudb::limit::changed", "734c51646dca44dcb77eecd0a75cde3c"),
    ("shibudb::limit::refused", "014c00de7ce042ba82e05b4cb88d8bf1"),
    ("shibudb::rejections", "fe8d8a3f7f4d4821b565edfa9b17d34a"),
    ("shibudb::reload::failed", "78f550e9b7854994a58e65836e4fb056"),
];

/// Crates whose news is not the operator's, and the least important line of theirs that is. What
/// notify meets it also tells its caller, who knows better what it means.
const QUIET: [(&str, LevelFilter); 3] =
    [("fjall", LevelFilter::WARN), ("lsm_tree", LevelFilter::WARN), ("notify", LevelFilter::OFF)];

/// The log of this process; its level can change while it runs.
#[derive(Debug, Clone)]
pub struct Log {
    level: reload::Handle<Targets, Registry>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is a log already.
    #[error("cannot begin logging: {0}")]
    Init(#[from] TryInitError),
}

/// Begins logging, for the whole process. A journal that cannot be reached is no reason not to serve:
/// standard error takes the lines then. If that is the file `log_file`, the file is kept short.
///
/// # Errors
/// [`LogError`]
pub fn init(level: LevelFilter, log_file: Option<&Path>) -> Result<Log, LogError> {
    let (filter, level) = reload::Layer::new(targets(level));
    let registry = tracing_subscriber::registry().with(filter);
    let journal = stderr_is_the_journal().then(journal).transpose();
    let unreachable = journal.as_ref().err().map(ToString::to_string);
    if let Ok(Some(journal)) = journal {
        registry.with(journal).try_init()?;
    } else {
        let writer = match log_file {
            Some(path) => BoxMakeWriter::new(Mutex::new(file::LogFile::of_stderr(path))),
            None => BoxMakeWriter::new(io::stderr),
        };
        let lines = fmt::layer()
            .with_writer(writer)
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false);
        registry.with(lines).try_init()?;
    }
    if let Some(error) = unreachable {
        tracing::warn!(error, "cannot reach the journal, so its fields are missing: {error}");
    }
    Ok(Log { level })
}

impl Log {
    /// Changes the level.
    pub fn set_level(&self, level: LevelFilter) {
        if let Err(error) = self.level.reload(targets(level)) {
            tracing::error!(%error, "the log level could not be changed");
        }
    }
}

fn targets(level: LevelFilter) -> Targets {
    let quiet = |least: LevelFilter| if level < LevelFilter::DEBUG { level.min(least) } else { level };
    Targets::new().with_default(level).with_targets(QUIET.map(|(name, least)| (name, quiet(least))))
}

/// One layer for each message id and one for all that has none: a layer's custom fields go with
/// every event, so the layer must be chosen by the event.
fn journal() -> io::Result<Vec<Box<dyn Layer<WithLevel> + Send + Sync>>> {
    let layer = || Ok::<_, io::Error>(tracing_journald::layer()?.with_field_prefix(Some("SHIBUDB".into())));
    let is = |target: &'static str| filter_fn(move |event: &Metadata<'_>| event.target() == target);
    let mut layers: Vec<Box<dyn Layer<WithLevel> + Send + Sync>> = Vec::new();
    for (target, id) in MESSAGE_IDS {
        layers.push(layer()?.with_custom_fields([("MESSAGE_ID", id)]).with_filter(is(target)).boxed());
    }
    let any = filter_fn(|event| MESSAGE_IDS.iter().any(|(target, _)| event.target() == *target));
    layers.push(layer()?.with_filter(any.not()).boxed());
    Ok(layers)
}

type WithLevel = tracing_subscriber::layer::Layered<reload::Layer<Targets, Registry>, Registry>;

/// Whether standard error is connected to the journal, as systemd.exec(5) says to find out: the
/// variable names the stream's device and inode, since a child may have been given another stream.
fn stderr_is_the_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
