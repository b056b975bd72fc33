//! The log lines of decisions.

use std::num::NonZeroU32;

use super::record::RecordedDoor;
use super::{Actor, Door};

/// A line of the log, with each fact in a field of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sentence {
    /// An attempt was applied; `old` is absent at a start.
    Changed { door: Door, actor: Actor, old: Option<u32>, new: u32, active: u32, revision: u64 },
    /// An attempt was refused.
    Refused {
        door: Door,
        actor: Actor,
        old: u32,
        wanted: Option<i64>,
        active: u32,
        revision: u64,
        reason: String,
    },
    /// An edit that was refused has become possible and was applied.
    EditApplied { limit: u32, active: u32 },
    /// A start drops the stored override, since overrides are not to survive a restart.
    OverrideNotPersisted { limit: u32, base: u32 },
    /// A start drops the stored override, since the configured limit has changed meanwhile.
    OverrideOfOtherBase { limit: u32, base: u32, was: u32 },
    /// A start applies the stored override.
    OverrideUsed { limit: u32, base: u32, door: RecordedDoor, actor: String },
    /// The stored override is beyond the ceiling at a start.
    OverrideBeyondCeiling { limit: u32, base: u32, most: NonZeroU32, open_files: u64 },
    /// The configured limit is beyond the ceiling at a start.
    BaseBeyondCeiling { base: u32, first: NonZeroU32, most: NonZeroU32, open_files: u64 },
}

impl Sentence {
    /// Logs it.
    pub(super) fn log(self) {
        match self {
            Self::Changed { door, actor, old, new, active, revision } => {
                let sentence = match old {
                    Some(old) => {
                        format!("connection limit changed from {old} to {new} by {actor} through {door}")
                    }
                    None => format!("connection limit is {new} at {door} ({actor})"),
                };
                tracing::info!(target: "shibudb::limit::changed", %door, %actor, old, new, active, revision,
                    outcome = "applied", "{sentence}");
            }
            Self::Refused { door, actor, old, wanted, active, revision, reason } => {
                let to = wanted.map(|wanted| format!(" to {wanted}")).unwrap_or_default();
                tracing::warn!(target: "shibudb::limit::refused", %door, %actor, old, wanted, active, revision,
                    outcome = "refused", reason,
                    "connection limit not changed from {old}{to} by {actor} through {door}: {reason}");
            }
            Self::EditApplied { limit, active } => tracing::info!(
                limit,
                active,
                "applied the limit {limit} of the config file, refused earlier: {active} connections are active"
            ),
            Self::OverrideNotPersisted { limit, base } => tracing::info!(
                limit,
                base,
                "stored limit {limit} dropped because persist = false; using the configured {base}"
            ),
            Self::OverrideOfOtherBase { limit, base, was } => tracing::info!(
                limit,
                base,
                was,
                "stored limit {limit} dropped: the configured limit has changed from {was} to {base}"
            ),
            Self::OverrideUsed { limit, base, door, actor } => tracing::info!(limit, base, %door, actor,
                "using limit {limit}, set by {actor} through {door}, instead of the configured {base}; `shibudb \
                 manager PORT reset` restores that"),
            Self::OverrideBeyondCeiling { limit, base, most, open_files } => tracing::warn!(
                limit,
                base,
                ceiling = most,
                open_files,
                "stored limit {limit} is more than this process can hold; starting with {most} instead of the \
                 configured {base}, and keeping the stored limit for a later start (open-file limit {open_files}; \
                 raise LimitNOFILE= in the unit, or `ulimit -n`)"
            ),
            Self::BaseBeyondCeiling { base, first, most, open_files } => tracing::warn!(
                configured = base,
                ceiling = most,
                open_files,
                "max_connections = {base} is more than this process can hold; starting with {first} (it can hold \
                 {most}: open-file limit {open_files}; raise LimitNOFILE= in the unit, or `ulimit -n`)"
            ),
        }
    }
}
