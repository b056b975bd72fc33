//! The last hour, second by second, and what goes on from there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many seconds back `GET /series` goes, unless told otherwise and at most.
pub(crate) const LONGEST_SERIES: u16 = 3600;

/// `GET /series`: columns of equal length, one entry a second, oldest first. A second in which the server
/// was not running, or too busy to look, has none. Samples outlive a restart of the server; a total that is lower
/// than the one before is that of a server which has started anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// When, in seconds since 1970; always growing.
    pub time: Vec<i64>,
    /// Connections open.
    pub active: Vec<u32>,
    /// The limit.
    pub limit: Vec<u32>,
    /// Connections let in since the server started.
    pub accepted: Vec<u64>,
    /// Connections turned away since the server started, because the limit was reached.
    pub rejected: Vec<u64>,
}

/// The data of an event `sample`: one row of a [`Series`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub time: i64,
    /// Connections open.
    pub active: u32,
    /// The limit.
    pub limit: u32,
    /// Connections let in since the server started.
    pub accepted: u64,
    /// Connections turned away since the server started, because the limit was reached.
    pub rejected: u64,
}

/// The data of an event `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// The revision of the limit.
    pub revision: u64,
}

/// The data of an event `missed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// How many changes the client was not told of.
    pub changes: u64,
}
