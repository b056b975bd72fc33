//! How many files the process may have open, and so how many connections it can hold: from clients and from
//! operators.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::control::Ceiling;
use crate::management::ConnectionSlots;
use crate::server::{self, KEPT_FOR_REJECTIONS};
use crate::store;

/// What the process has open by itself, in whatever way it was started, apart from server and store: the
/// standard streams (3), two runtimes (6), signals (2), the sockets of management (2), the history of the
/// limit (1), the watch on the config file (3), the journal (1), the notification socket (1), the PID file (1), and
/// what a supervisor has left open (5).
const PROCESS: usize = 25;

/// Files that are opened, used and closed again: settings, the token, the override, `/proc`, messages to
/// systemd; and clients that are being rejected.
const PASSING: usize = 6 + KEPT_FOR_REJECTIONS;

/// The most descriptors requested: some systems allow a thousand million, and the kernel's
/// tables for them cost memory.
const HIGHEST: u64 = 1 << 20;

/// How the descriptors are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// For clients.
    pub(crate) ceiling: Ceiling,
    /// For connections to the management API.
    pub(crate) management: ConnectionSlots,
}

/// Raises the soft limit to the hard one, which stays as it is, and returns the resulting shares.
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
                tracing::warn!(%error, soft, wanted, "cannot raise the open-file limit from {soft} to {wanted}: {error}");
                soft
            }
        }
    } else {
        soft
    };
    share_out(open_files, own())
}

/// Clients do not get the reserve: the descriptors of the process and the usual ones of management. At most half of
/// a small limit is reserved, so that there is room for clients at all; few tables stay open in that case, and
/// the descriptors of the process itself take precedence over management.
fn share_out(open_files: u64, own: usize) -> Shares {
    let usable = usize::try_from(open_files.min(HIGHEST)).unwrap_or(usize::MAX);
    let reserve = (own + store::MOST_FILES + ConnectionSlots::default().all()).min(usable / 2);
    let connections = u32::try_from(usable - reserve).ok().and_then(NonZeroU32::new);
    Shares {
        ceiling: Ceiling { connections: connections.unwrap_or(NonZeroU32::MIN), open_files },
        management: ConnectionSlots::within(reserve.saturating_sub(own)),
    }
}

/// How many descriptors the process has open without connections and with a small store.
fn own() -> usize {
    PROCESS + PASSING + server::own_files()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a machine with two processors, and one with many.
    const OWN: [usize; 2] = [PROCESS + PASSING + 3, PROCESS + PASSING + 33];

    #[test]
    fn shares_never_exceed_what_there_is() {
        for own in OWN {
            for open_files in [1, 2, 20, 64, 100, 128, 199, 200, 256, 1024, 20_000, u64::MAX] {
                let Shares { ceiling, management } = share_out(open_files, own);
                let all = u64::from(ceiling.connections.get()) + (management.all() + own) as u64;
                // A limit below this cannot be shared out.
                assert!(all <= open_files || open_files < 200, "{open_files}: {ceiling:?} {management:?}");
            }
        }
    }

    #[test]
    fn the_store_has_its_part_where_there_is_enough() {
        for own in OWN {
            let Shares { ceiling, management } = share_out(1024, own);
            let clients = usize::try_from(ceiling.connections.get()).unwrap();
            assert_eq!(clients + management.all() + own + store::MOST_FILES, 1024);
        }
    }

    #[test]
    fn enough_is_the_usual_share_and_little_leaves_a_door_open() {
        let [own, _] = OWN;
        let usual = share_out(20_000, own);
        assert_eq!((usual.ceiling.connections.get(), usual.management), (19_900, ConnectionSlots::default()));
        assert_eq!(share_out(1, own).management, ConnectionSlots { tcp: 3, unix: 1 });
        assert_eq!(share_out(64, own).management, ConnectionSlots { tcp: 3, unix: 1 });
        assert_eq!(share_out(100, own).management, ConnectionSlots { tcp: 10, unix: 2 });
    }
}
