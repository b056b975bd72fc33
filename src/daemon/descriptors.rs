//! How many files the process may have open, and so how many connections it can hold.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::control::Ceiling;

/// Descriptors kept for the process itself: the store, the log, the management API, rejections in
/// progress. Of a small limit at most half is kept, so that there is room for clients at all.
const RESERVE: u64 = 100;

/// More than this is never asked for: some systems allow a thousand million, and the kernel's
/// tables for them cost memory.
const HIGHEST: u64 = 1 << 20;

/// Raises the soft limit to the hard one, which stays as it is, and says what that makes possible.
pub(crate) fn ceiling() -> Ceiling {
    let limit = getrlimit(Resource::Nofile);
    // No number means no limit.
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let soft = limit.current.unwrap_or(u64::MAX);
    let wanted = hard.min(HIGHEST).max(soft);
    let open_files = if wanted > soft {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
            Ok(()) => wanted,
            Err(error) => {
                tracing::warn!(%error, soft, wanted, "cannot raise the open-file limit from {soft} to {wanted}");
                soft
            }
        }
    } else {
        soft
    };
    let usable = open_files.min(HIGHEST);
    let connections = usable - RESERVE.min(usable / 2);
    let connections = u32::try_from(connections).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    Ceiling { connections, open_files }
}
