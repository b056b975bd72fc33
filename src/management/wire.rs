//! What travels over the management API, in the order in which it is written.
//!
//! Shared by the server and by `shibudb manager`. Knows nothing of the rest of the house: doors and
//! actors are words here. The documented endpoints answer exactly the fields of their type, since
//! serde writes a struct's fields in the order of their declaration; anything more belongs in a
//! header or on an endpoint of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The request header in which `shibudb manager` says that it is asking.
pub const DOOR_HEADER: &str = "shibudb-door";

/// The one value of [`DOOR_HEADER`] that is honoured.
pub const CLI_DOOR: &str = "cli";

/// The service that [`Health`] names.
pub const SERVICE: &str = "shibudb";

/// The key of the setting whose value is the limit.
pub const LIMIT_KEY: &str = "max_connections";

/// How many entries `GET /history` answers unless told otherwise.
pub const DEFAULT_HISTORY: u16 = 50;

/// How many entries `GET /history` answers at most.
pub const LONGEST_HISTORY: u16 = 1000;

/// Whether a request did what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It did.
    Success,
    /// It changed nothing.
    Failed,
}

/// Every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, in words for a person.
    pub error: String,
    /// Always [`Status::Failed`].
    pub status: Status,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `healthy`; a server that is not does not answer.
    pub status: String,
    /// [`SERVICE`].
    pub service: String,
}

/// `GET /stats`, all of one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Connections open.
    pub active_connections: u32,
    /// The limit.
    pub max_connections: u32,
    /// Share of the limit in use, in percent.
    pub usage_percentage: f64,
    /// Places free.
    pub available_slots: u32,
}

/// `GET /limit`, both of one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentLimit {
    /// The limit.
    pub current_limit: u32,
    /// Connections open.
    pub active_connections: u32,
}

/// `PUT /limit` and `POST /limit/reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The limit since.
    pub new_limit: u32,
    /// The same in words.
    pub message: String,
}

/// `POST /limit/increase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increased {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The limit before.
    pub old_limit: u32,
    /// The limit since.
    pub new_limit: u32,
    /// By how much it was raised.
    pub increase_amount: u32,
    /// The same in words.
    pub message: String,
}

/// `POST /limit/decrease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decreased {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The limit before.
    pub old_limit: u32,
    /// The limit since.
    pub new_limit: u32,
    /// By how much it was lowered.
    pub decrease_amount: u32,
    /// The same in words.
    pub message: String,
}

/// The part of a change's answer that is there whatever the change was.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// What was done, in words.
    pub message: String,
}

/// `GET /history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The attempts to change the limit, newest first.
    pub changes: Vec<HistoryEntry>,
}

/// One attempt to change the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it was decided.
    pub time: Timestamp,
    /// The revision after it.
    pub revision: u64,
    /// The way it came in.
    pub door: String,
    /// Who asked.
    pub actor: String,
    /// The limit before; `null` at the first start.
    pub old: Option<u32>,
    /// The limit wanted, and if applied the limit since; `null` if none could be named.
    pub new: Option<i64>,
    /// Connections active at that instant.
    pub active: u32,
    /// Applied or refused.
    pub outcome: Outcome,
    /// Why it was refused; absent if it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of an attempt to change the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is in force.
    Applied,
    /// It changed nothing.
    Refused,
}

/// `GET /config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// The config file in use; `null` if the server was started without one.
    pub file: Option<String>,
    /// What the limit rests on.
    pub limit: LimitReport,
    /// Every setting, in the order of the shipped file.
    pub settings: Vec<Setting>,
    /// The last time the file was read again; `null` if it has not been since the start.
    pub last_reload: Option<LastReload>,
}

/// What the daemon knows of the configuration. The rest of a [`ConfigReport`] is looked up when it
/// is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadedConfig {
    /// As [`ConfigReport::file`].
    pub file: Option<String>,
    /// As [`ConfigReport::settings`]; value, source and pending of [`LIMIT_KEY`] are replaced in
    /// the report by what is in force.
    pub settings: Vec<Setting>,
    /// As [`ConfigReport::last_reload`].
    pub last_reload: Option<LastReload>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name as in the file, with its table: `limits.signal_step`.
    pub key: String,
    /// The value in force.
    pub value: Value,
    /// The value if nobody says otherwise.
    pub default: Value,
    /// Where the value in force comes from.
    pub source: Source,
    /// Whether an edit takes effect at once; if not, it waits for a restart.
    pub live: bool,
    /// The value that is configured and not in force: it waits for a restart, or, in the case of
    /// the limit, was refused.
    pub pending: Option<Value>,
}

/// Where a setting's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The config file.
    File,
    /// The command line of the server.
    #[serde(rename = "command line")]
    CommandLine,
    /// A change at run time; only the limit has those.
    Override,
}

/// What the limit rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReport {
    /// The limit in force.
    pub current: u32,
    /// The limit that the operator configured.
    pub base: u32,
    /// Where the base comes from.
    pub base_source: Source,
    /// The highest limit that this process could hold.
    pub ceiling: u32,
    /// Grows by one with every applied change; the `ETag` of `/limit`.
    pub revision: u64,
    /// The limit set at run time, if it differs from the base.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// An edit of the file that could not be applied.
    pub refused: Option<RefusedEdit>,
}

/// A limit set at run time, in place of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The limit.
    pub limit: u32,
    /// The way it came in.
    pub door: String,
    /// Who asked.
    pub actor: String,
    /// When.
    pub time: Timestamp,
}

/// A limit in the file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEdit {
    /// The limit wanted.
    pub limit: u32,
    /// Why it was refused, in a few words.
    pub reason: String,
}

/// The last time the config file was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// When.
    pub time: Timestamp,
    /// What asked for it: `config` for an edit, `signal` for SIGHUP, `http` or `cli`.
    pub door: String,
    /// Whether the file was good.
    pub outcome: ReloadOutcome,
    /// What was wrong with it; absent if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadOutcome {
    /// The file is in force, as far as that goes without a restart.
    Ok,
    /// The settings from before stay.
    Failed,
}

/// `POST /reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The config file in use; `null` if the server was started without one.
    pub file: Option<String>,
    /// Settings that have another value now.
    pub changed: Vec<ChangedSetting>,
    /// Settings whose new value waits for a restart.
    pub restart: Vec<ChangedSetting>,
    /// Settings whose new value was refused; only the limit can be.
    pub refused: Vec<RefusedSetting>,
    /// All of it in a few words.
    pub message: String,
}

/// A setting that an edit of the file has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangedSetting {
    /// Its name.
    pub key: String,
    /// The value before.
    pub old: Value,
    /// The value in the file.
    pub new: Value,
}

/// A setting whose new value could not be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedSetting {
    /// Its name.
    pub key: String,
    /// The value in the file.
    pub value: Value,
    /// Why it was refused.
    pub reason: String,
}

impl Failure {
    /// An error with these words.
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), status: Status::Failed }
    }
}

impl ReloadReport {
    /// The report of a file that was read and is valid.
    pub fn new(
        file: Option<String>,
        changed: Vec<ChangedSetting>,
        restart: Vec<ChangedSetting>,
        refused: Vec<RefusedSetting>,
    ) -> Self {
        let mut parts = vec![match changed.len() {
            0 => "nothing changed".to_owned(),
            1 => "1 setting changed".to_owned(),
            n => format!("{n} settings changed"),
        }];
        if !restart.is_empty() {
            parts.push(format!("{} waiting for a restart", restart.len()));
        }
        if !refused.is_empty() {
            parts.push(format!("{} refused", refused.len()));
        }
        let message = format!("Configuration reloaded: {}", parts.join(", "));
        Self { status: Status::Success, file, changed, restart, refused, message }
    }
}

impl Source {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::CommandLine => "command line",
            Self::Override => "override",
        }
    }
}
