//! How many files the process may have open, and so how many connections it can hold: clients' and
//! operators'.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::control::Ceiling;
use crate::management::Places;

/// Descriptors kept for the process itself: the store, the log, the management API, rejections in
/// progress. Of a small limit at most half is kept, so that there is room for clients at all.
const RESERVE: u64 = 100;

/// The part of the reserve that management never gets: what the process has open by itself, rejections
/// in progress, and a few for files that are written and closed again.
const OWN: u64 = 26;

/// More than this is never asked for: some systems allow a thousand million, and the kernel's
/// tables for them cost memory.
const HIGHEST: u64 = 1 << 20;

/// Who may have how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Of clients.
    pub(crate) ceiling: Ceiling,
    /// Of connections to the management API.
    pub(crate) management: Places,
}

/// Raises the soft limit to the hard one, which stays as it is, and says what that makes possible.
pub(crate) fn shares() -> Shares {
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
    share_out(open_files)
}

fn share_out(open_files: u64) -> Shares {
    let usable = open_files.min(HIGHEST);
    let reserve = RESERVE.min(usable / 2);
    let connections = u32::try_from(usable - reserve).ok().and_then(NonZeroU32::new);
    let management = usize::try_from(reserve.saturating_sub(OWN)).unwrap_or(usize::MAX);
    Shares {
        ceiling: Ceiling { connections: connections.unwrap_or(NonZeroU32::MIN), open_files },
        management: Places::within(management),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_what_there_is() {
        for open_files in [1, 2, 20, 64, 100, 128, 199, 200, 256, 1024, 20_000, u64::MAX] {
            let Shares { ceiling, management } = share_out(open_files);
            let all = u64::from(ceiling.connections.get()) + management.all() as u64 + OWN;
            // Of less than this there is no sharing out.
            assert!(all <= open_files || open_files < 64, "{open_files}: {ceiling:?} {management:?}");
        }
    }

    #[test]
    fn enough_is_the_usual_share_and_little_leaves_a_door_open() {
        assert_eq!(share_out(20_000).management, Places::default());
        assert_eq!(share_out(1).management, Places { tcp: 3, unix: 1 });
        assert_eq!(share_out(64).management, Places { tcp: 5, unix: 1 });
    }
}
