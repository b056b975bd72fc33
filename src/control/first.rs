//! The limit to begin with: the base, or the override that an earlier run stored.
//!
//! What the operator asked for outlives a start that cannot have it: a limit beyond the ceiling of this process is
//! clamped, and the override that says it stays stored, for a start that can.

use std::io;
use std::num::NonZeroU32;

use super::override_file::OverrideFile;
use super::{Ceiling, LimitState, Override, Settings, StartError};

/// What an earlier run has stored; `None` also if it cannot be understood, which is logged.
pub(super) fn stored(file: &OverrideFile) -> Result<Option<Override>, StartError> {
    let error = match file.read() {
        Ok(Some(stored)) if stored.limit == 0 => io::Error::new(io::ErrorKind::InvalidData, "a limit of 0"),
        Ok(stored) => return Ok(stored),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => error,
        Err(source) => return Err(StartError::Read { path: file.path().to_owned(), source }),
    };
    match file.set_aside() {
        Ok(aside) => tracing::error!(path = %file.path().display(), %error,
            "ignored the invalid stored limit in {} ({error}); the file was renamed to {}",
            file.path().display(), aside.display()),
        Err(aside) => tracing::error!(path = %file.path().display(), %error, aside = %aside,
            "ignored the invalid stored limit in {} ({error}); the file could not be renamed ({aside}) and will be \
             overwritten",
            file.path().display()),
    }
    Ok(None)
}

/// The override to begin with, of the one that is stored. Only a base that was edited, and a setting by which none
/// survives, drop it.
pub(super) fn override_to_begin_with(
    stored: Option<Override>,
    limit_state: &LimitState,
    settings: Settings,
    ceiling: Ceiling,
) -> Option<Override> {
    let stored = stored?;
    let (limit, base) = (stored.limit, limit_state.base);
    let Ceiling { connections: most, open_files } = ceiling;
    if !settings.persist {
        tracing::info!(
            limit,
            base,
            "stored limit {limit} dropped because persist = false; using the configured {base}"
        );
        return None;
    }
    if stored.base != base {
        tracing::info!(
            limit,
            base,
            was = stored.base,
            "stored limit {limit} dropped: the configured limit has changed from {} to {base}",
            stored.base
        );
        return None;
    }
    tracing::info!(limit, base, door = %stored.door, actor = stored.actor,
        "using limit {limit}, set by {} through {}, instead of the configured {base}; `shibudb manager PORT reset` \
         restores that", stored.actor, stored.door);
    if limit > most.get() {
        tracing::warn!(
            limit,
            base,
            ceiling = most,
            open_files,
            "stored limit {limit} is more than this process can hold; starting with {most} instead of the configured \
             {base}, and keeping the stored limit for a later start (open-file limit {open_files}; raise \
             LimitNOFILE= in the unit, or `ulimit -n`)"
        );
    }
    Some(stored)
}

/// Says that the configured limit cannot be had, and what the server starts with: the most it can hold, or
/// a stored override.
pub(super) fn warn_of_base_beyond(ceiling: Ceiling, base: u32, first: NonZeroU32) {
    let Ceiling { connections: most, open_files } = ceiling;
    if base > most.get() {
        tracing::warn!(
            configured = base,
            ceiling = most,
            open_files,
            "max_connections = {base} is more than this process can hold; starting with {first} \
             (it can hold {most}: open-file limit {open_files}; raise LimitNOFILE= in the unit, or `ulimit -n`)"
        );
    }
}

/// The limit, or the highest that this process can hold.
pub(super) fn within(ceiling: Ceiling, limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).map_or(NonZeroU32::MIN, |limit| limit.min(ceiling.connections))
}
