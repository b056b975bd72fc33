//! What doors request, and the answers they get.

use std::num::{NonZeroU32, NonZeroU64};

use super::{Actor, Door, Stored, Tag};
use crate::limiter::Refusal;

/// A door's request.
#[derive(Debug, Clone)]
pub struct LimitRequest {
    /// The change wanted.
    pub change: Change,
    /// The door it came through.
    pub door: Door,
    /// Who asked.
    pub actor: Actor,
    /// Apply only if the limit is in one of these states (`If-Match`).
    pub if_revision: Option<Vec<Tag>>,
}

/// A change of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Set it to this number. Zero and less are refused and recorded, like any other invalid request.
    Set(i64),
    /// Raise it.
    Increase(Amount),
    /// Lower it.
    Decrease(Amount),
    /// Back to the base; the override is deleted.
    Reset,
}

/// By how much to raise or lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// By the configured step.
    Step,
    /// By this many.
    By(NonZeroU64),
}

/// A change that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitChange {
    /// The revision that this change made.
    pub revision: u64,
    /// The limit before.
    pub old: u32,
    /// The limit since.
    pub new: u32,
    /// Connections active at that instant.
    pub active: u32,
    /// Which parts of it are on disk.
    pub stored: Stored,
}

/// Why a request was refused. Nothing has changed but the history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// The limiter refused it.
    #[error("{reason}{}", open_files_remark(reason, *open_files))]
    Limiter {
        /// Its reason.
        reason: Refusal,
        /// The open-file limit that the ceiling comes from.
        open_files: u64,
    },
    /// The limit has changed since the caller read it.
    #[error("the limit has changed meanwhile: its revision is {current}, not {expected}")]
    RevisionMismatch {
        /// The revision the caller had seen.
        expected: String,
        /// The current revision.
        current: Tag,
    },
    /// The server is ending.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl LimitRefusal {
    /// Whether the server later applies an edit of the config file that it refused for this reason.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Limiter { reason: Refusal::BelowActive { .. }, .. })
    }
}

/// The most connections that this process can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The highest limit possible.
    pub connections: NonZeroU32,
    /// The open-file limit that it comes from, for messages.
    pub open_files: u64,
}

/// The settings of control that can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The step of the signals, and of an increase or decrease without an amount.
    pub step: NonZeroU32,
    /// Whether an override is stored for the next start.
    pub persist: bool,
}

/// What the operator configured, from the strongest to the weakest source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configured {
    /// `MAX_CONNECTIONS` on the command line.
    pub command_line: Option<NonZeroU32>,
    /// `max_connections` in the config file.
    pub file: Option<NonZeroU32>,
}

/// Why the config file was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// A change was detected.
    Found,
    /// A reload was requested.
    Asked,
}

/// The result for `max_connections` in a config file that was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigureOutcome {
    /// The file has the same value as before; the limit was left alone.
    Unchanged,
    /// The new value is the limit and the base.
    Applied(LimitChange),
    /// The limit stays; the value waits for the next edit, reload or reset.
    Refused {
        /// The value.
        wanted: u32,
        /// Why it was refused.
        refusal: LimitRefusal,
    },
}

/// The source of the ceiling, which the limiter itself cannot know.
fn open_files_remark(reason: &Refusal, open_files: u64) -> String {
    match reason {
        Refusal::AboveCeiling { .. } => format!(" (open-file limit {open_files})"),
        Refusal::NotPositive | Refusal::BelowActive { .. } => String::new(),
    }
}
