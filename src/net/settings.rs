//! The limits of connections: time, and memory.

use std::time::Duration;

/// How much one connection may take in its turn, as a multiple of the longest request: the request itself in a buffer
/// that has grown by doubling, a copy of what it stores, and the answer, in which each byte of a value may need six.
const SHARE_OF_ONE: usize = 10;

/// Settings that the daemon may change while clients are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// How long a client may take from the connect to the end of its login line.
    pub login_timeout: Duration,
    /// How long a logged-in client may be silent, or take to complete a request; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a request may take from its first byte to its last.
    pub request_timeout: Duration,
    /// The most bytes of a line. Applies to new connections; the timeouts apply to all.
    pub max_request: usize,
    /// The most bytes that all requests in flight may take together. When they do, reading pauses.
    pub max_inflight: usize,
}

/// How much may be spent, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// On requests of any kind.
    pub(super) free: usize,
    /// The most that they may grow to, with answers that clients do not read.
    pub(super) most: usize,
    /// On requests that have arrived completely, beside that.
    pub(super) reserve: usize,
    /// On clients that have not logged in.
    pub(super) guests: usize,
}

impl ClientSettings {
    /// How much may be in flight before reading pauses: less than the total, by the possible growth of the connections
    /// in their turn and of the one that is to complete its request.
    pub(super) fn room(&self, workers: usize) -> Room {
        let at_work = (workers + 1).saturating_mul(SHARE_OF_ONE).saturating_mul(self.max_request);
        let free = self.max_inflight - at_work.min(self.max_inflight / 2);
        // Few connections need all of the rest at the same time.
        let rest = self.max_inflight - free;
        Room { free, most: free + rest / 4, reserve: rest / 4, guests: rest / 8 }
    }
}
