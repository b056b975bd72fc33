//! What travels over the management API, in the order in which it is written.
//!
//! Shared by the server and by `shibudb manager`. Knows nothing of the other modules: doors and
//! actors are words here. The documented endpoints answer exactly the fields of their type, since
//! serde writes a struct's fields in the order of their declaration; anything more belongs in a
//! header or on an endpoint of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod config;
mod connections;
mod series;
mod store;

pub use config::{
    ChangedSetting, ConfigReport, LastReload, LimitReport, LoadedConfig, Override, RefusedEdit,
    RefusedSetting, ReloadOutcome, ReloadReport, Setting, Source, TroubledFile,
};

pub use connections::{
    Connection, ConnectionList, ConnectionSort, Ended, EndedConnection, PeerTotal, RejectedPeer, Rejections,
    UserTotal,
};

pub use store::{StoreReport, StoreState};

pub(crate) use connections::{DEFAULT_CONNECTIONS, MOST_CONNECTIONS};
pub(crate) use series::LONGEST_SERIES;
pub use series::{Missed, Revision, Sample, Series};

/// The request header in which `shibudb manager` says that it is asking.
pub(crate) const DOOR_HEADER: &str = "shibudb-door";

/// The one value of [`DOOR_HEADER`] that is honoured.
pub(crate) const CLI_DOOR: &str = "cli";

/// The answer header that is there, and says [`NO`], when a change of the limit is in force and the next start
/// would not begin with it.
pub(crate) const STORED_HEADER: &str = "shibudb-stored";

/// The answer header that is there, and says [`NO`], when a change of the limit is in force and its record is not
/// in the history file.
pub(crate) const RECORDED_HEADER: &str = "shibudb-recorded";

/// The one value of [`STORED_HEADER`] and [`RECORDED_HEADER`].
pub(crate) const NO: &str = "false";

/// The statuses that [`Health`] knows.
pub const HEALTHY: &str = "healthy";
/// The store does not take writes.
pub(crate) const DEGRADED: &str = "degraded";

/// The service that [`Health`] names.
pub(crate) const SERVICE: &str = "shibudb";

/// The key of the setting whose value is the limit.
pub(crate) const LIMIT_KEY: &str = "max_connections";

/// How many entries `GET /history` answers unless told otherwise.
pub(crate) const DEFAULT_HISTORY: u16 = 50;

/// How many entries `GET /history` answers at most.
pub(crate) const LONGEST_HISTORY: u16 = 1000;

/// What every body is declared as.
pub(crate) const MEDIA_TYPE: &str = "application/json";

/// The highest limit, and the largest amount, that is worth asking for; beyond it lies no number of
/// connections.
pub(crate) const LARGEST_NUMBER: i64 = 1 << 32;

/// The body of `PUT /limit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// The limit wanted, from 1 to 4294967296.
    #[schema(minimum = 1, maximum = 4294967296_i64)]
    pub limit: i64,
}

/// The body of `POST /limit/increase` and `POST /limit/decrease`, unless by the configured step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// By how many connections, from 1 to 4294967296.
    #[schema(minimum = 1, maximum = 4294967296_i64)]
    pub amount: i64,
}

/// Whether a request did what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It did.
    Success,
    /// It changed nothing.
    Failed,
}

/// Every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What went wrong, in words for a person.
    pub error: String,
    /// Always [`Status::Failed`].
    pub status: Status,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `healthy`, or `degraded` while the store does not take writes: `GET /config` says why. A server that serves
    /// nobody does not answer.
    pub status: String,
    /// [`SERVICE`].
    pub service: String,
}

/// `GET /stats`, all of one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentLimit {
    /// The limit.
    pub current_limit: u32,
    /// Connections open.
    pub active_connections: u32,
}

/// `PUT /limit` and `POST /limit/reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Updated {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The limit since.
    pub new_limit: u32,
    /// The same in words.
    pub message: String,
}

/// `POST /limit/increase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The attempts to change the limit, newest first.
    pub changes: Vec<HistoryEntry>,
}

/// One attempt to change the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// When it was decided.
    pub time: Timestamp,
    /// The revision after it.
    pub revision: u64,
    /// The way it came in.
    pub door: String,
    /// Who asked.
    pub actor: String,
    /// The limit before; `null` at a start.
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
    /// How many refusals this entry stands for: those of one actor for one kind of reason that came within a
    /// minute of each other. All else here is of the first. Absent if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// When the last of them was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Timestamp>,
}

/// What became of an attempt to change the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is in force.
    Applied,
    /// It changed nothing.
    Refused,
}

impl Failure {
    /// An error with these words.
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), status: Status::Failed }
    }
}
