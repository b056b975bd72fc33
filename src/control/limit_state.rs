//! Base, override, and a refused edit: which value wins, and why.
//!
//! The rules are those of the contract: the base is what the operator configured; an override is a
//! limit set through another door and different from the base; only a change of the *value in the
//! file* acts on the limit; a refused edit stays visible until the next edit, reload or reset. An edit
//! refused because too many connections were active waits until few enough are, unless the limit is
//! set by hand first.
//! Pure bookkeeping: the limiter decides whether a limit is possible, and
//! [`super::decide`] combines the two.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Configured, Door, RecordedDoor, Reread};
use crate::config::DEFAULT_LIMIT;

/// The values behind the limit, as of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// Incremented by every applied change.
    pub revision: u64,
    /// The limit that the operator configured.
    pub base: u32,
    /// Where the base comes from.
    pub base_source: BaseSource,
    /// The limit set through another door, if it differs from the base.
    pub override_: Option<Override>,
    /// An edit of the file that could not be applied.
    pub refused_edit: Option<RefusedEdit>,
    /// Whether a door other than config and startup has set the limit since the last edit.
    pub(super) set_since_edit: bool,
    /// The value in the file, as last read.
    pub(super) file: Option<NonZeroU32>,
    /// The value on the command line.
    pub(super) command_line: Option<NonZeroU32>,
}

/// Where the base comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseSource {
    /// `MAX_CONNECTIONS` on the command line.
    CommandLine,
    /// `max_connections` in the config file.
    File,
    /// Neither names a value.
    Default,
}

/// A limit set at run time, in place of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The limit.
    pub limit: u32,
    /// The base it replaced.
    pub base: u32,
    /// The door it came through.
    pub door: RecordedDoor,
    /// Who made the request, in words.
    pub actor: String,
    /// When.
    pub time: Timestamp,
    /// Unknown fields, written by another version of the program and kept for it.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// A value in the file that the limiter refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEdit {
    /// The value.
    pub wanted: u32,
    /// Why, in a few words that follow "refused: ".
    pub reason: String,
    /// Whether it is retried automatically when fewer connections are active.
    pub waits: bool,
}

impl Override {
    pub(super) fn new(limit: u32, base: u32, door: Door, actor: String, time: Timestamp) -> Self {
        Self { limit, base, door: door.into(), actor, time, more: Map::new() }
    }
}

impl LimitState {
    pub(super) fn new(configured: Configured) -> Self {
        let (base, base_source) = if let Some(limit) = configured.command_line {
            (limit, BaseSource::CommandLine)
        } else if let Some(limit) = configured.file {
            (limit, BaseSource::File)
        } else {
            (DEFAULT_LIMIT, BaseSource::Default)
        };
        Self {
            revision: 0,
            base: base.get(),
            base_source,
            override_: None,
            refused_edit: None,
            set_since_edit: false,
            file: configured.file,
            command_line: configured.command_line,
        }
    }

    /// Whether the file's value requires a change: it is new, or it was refused before. A limit set
    /// since the refusal stays unless a reload is requested: saving the file without changing the value
    /// is no such request.
    pub(super) fn is_news(&self, file: Option<NonZeroU32>, reread: Reread) -> bool {
        let may_try_again = reread == Reread::Asked || !self.set_since_edit;
        self.file != file || self.refused_edit.is_some() && may_try_again
    }

    /// The file's value has changed: it becomes the base, above the command line. A value taken out
    /// of the file gives way to the command line and the default.
    pub(super) fn edit(&mut self, file: Option<NonZeroU32>) {
        let configured = match file {
            Some(_) => Configured { file, command_line: None },
            None => Configured { file, command_line: self.command_line },
        };
        let edited = Self::new(configured);
        self.file = file;
        self.base = edited.base;
        self.base_source = edited.base_source;
        self.refused_edit = None;
        self.set_since_edit = false;
    }

    /// The limit that is applied automatically as soon as the active connections fit.
    pub fn waiting(&self) -> Option<u32> {
        self.refused_edit.as_ref().filter(|edit| edit.waits).map(|edit| edit.wanted)
    }

    /// Makes the base the limit.
    pub(super) fn settle_on_base(&mut self) {
        self.override_ = None;
        self.refused_edit = None;
    }

    /// Records that a door other than config and startup has set the limit.
    pub(super) fn set_at_run_time(&mut self, limit: u32, door: Door, actor: String, time: Timestamp) {
        self.set_since_edit = true;
        self.override_ = (limit != self.base).then(|| Override::new(limit, self.base, door, actor, time));
        if limit == self.base {
            // The refused value is the limit now.
            self.refused_edit = None;
        } else if let Some(edit) = &mut self.refused_edit {
            // The explicit setting is newer than the edit.
            edit.waits = false;
        }
    }
}
