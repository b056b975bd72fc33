//! How the store is doing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the store is doing, and what is wrong with it if something is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct StoreReport {
    /// In one word.
    pub state: StoreState,
    /// What is wrong and what follows from it, in words; absent if all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Since when; absent if all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// How the store is doing. Reads of what is in memory go on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It takes writes.
    #[default]
    Ok,
    /// Writes are refused until there is room on the disk.
    DiskFull,
    /// Writes are refused until the store has recovered from a failure.
    Failed,
    /// Writes wait for the disk, which does not answer.
    DiskSilent,
}

impl StoreReport {
    /// Whether it takes writes.
    pub fn is_ok(&self) -> bool {
        self.state == StoreState::Ok
    }
}
