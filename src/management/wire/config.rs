//! What `GET /config` and `POST /reload` tell of settings.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Status, StoreReport};
use crate::named_enum::named_enum;

/// `GET /config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigReport {
    /// The config file in use; `null` if there is none.
    pub file: Option<String>,
    /// The config file that does not exist and is read as soon as it does; absent if one is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited_file: Option<String>,
    /// What the limit rests on.
    pub limit: LimitReport,
    /// Every setting, in the order of the shipped file.
    pub settings: Vec<Setting>,
    /// The last time the file was read again; `null` if it has not been since the start.
    pub last_reload: Option<LastReload>,
    /// Files that cannot be read or used by now, and since when; absent if there are none. What they said before is in
    /// force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubled_files: Vec<TroubledFile>,
    /// How the store is doing.
    #[serde(default)]
    pub store: StoreReport,
    /// The file that a server begun with `shibudb start` logs to; absent of others, which log to standard error or
    /// the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
}

impl ConfigReport {
    /// The value in force of the setting of this name, if there is one.
    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| &setting.value)
    }
}

/// What the daemon knows of the configuration. The rest of a [`ConfigReport`] is looked up when it
/// is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadedConfig {
    /// As [`ConfigReport::file`].
    pub file: Option<String>,
    /// As [`ConfigReport::awaited_file`].
    pub awaited_file: Option<String>,
    /// As [`ConfigReport::settings`]; value, source and pending of [`LIMIT_KEY`](super::LIMIT_KEY) are replaced in
    /// the report by what is in force.
    pub settings: Vec<Setting>,
    /// As [`ConfigReport::last_reload`].
    pub last_reload: Option<LastReload>,
    /// As [`ConfigReport::troubled_files`].
    pub troubled_files: Vec<TroubledFile>,
    /// As [`ConfigReport::log_file`].
    pub log_file: Option<String>,
}

/// A config or token file that cannot be read or used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TroubledFile {
    /// The file.
    pub file: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub problem: String,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// The same, and for whom: `live`, `live for new connections` or `restart`.
    #[serde(default)]
    pub effect: String,
    /// The value that is configured and not in force: it waits for a restart, or, in the case of
    /// the limit, was refused.
    pub pending: Option<Value>,
}

named_enum! {
    /// Where a setting's value comes from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Source {
        /// Nobody said anything.
        Default = "default",
        /// The config file.
        File = "file",
        /// The command line of the server.
        #[serde(rename = "command line")]
        CommandLine = "command line",
        /// A change at run time; only the limit has those.
        Override = "override",
    }
}

/// What the limit rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitReport {
    /// The limit in force.
    pub current: u32,
    /// The limit that the operator configured.
    pub base: u32,
    /// Where the base comes from.
    pub base_source: Source,
    /// The highest limit that this process could hold.
    pub ceiling: u32,
    /// Grows by one with every applied change.
    pub revision: u64,
    /// The limit set at run time, if it differs from the base.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// An edit of the file that could not be applied.
    pub refused: Option<RefusedEdit>,
    /// How many attempts to change it could not be written to the history file since the start. They are in
    /// `GET /history` until a restart.
    #[serde(default)]
    pub unwritten_records: u64,
    /// The limit of an edit that was refused, which is applied by itself as soon as no more connections than that
    /// are active; absent if none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Why the next start would not begin with the limit in force; absent if it would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_stored: Option<String>,
}

/// A limit set at run time, in place of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// The limit.
    pub limit: u32,
    /// The way it came in.
    pub door: String,
    /// Who asked.
    pub actor: String,
    /// When.
    pub time: Timestamp,
    /// What of it is in force, if it is more than this process can hold; absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamped_to: Option<u32>,
}

/// A limit in the file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedEdit {
    /// The limit wanted.
    pub limit: u32,
    /// Why it was refused, in a few words.
    pub reason: String,
}

/// The last time the config file was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReloadOutcome {
    /// The file is in force, as far as that goes without a restart.
    Ok,
    /// The settings from before stay.
    Failed,
}

/// `POST /reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// Always [`Status::Success`].
    pub status: Status,
    /// The config file in use; `null` if there is none.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangedSetting {
    /// Its name.
    pub key: String,
    /// The value before.
    pub old: Value,
    /// The value in the file.
    pub new: Value,
}

/// A setting whose new value could not be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefusedSetting {
    /// Its name.
    pub key: String,
    /// The value in the file.
    pub value: Value,
    /// Why it was refused.
    pub reason: String,
    /// Whether it is applied by itself as soon as it can be had.
    #[serde(default)]
    pub waits: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_name_in_json_and_in_words() {
        for source in Source::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.name());
        }
    }
}
