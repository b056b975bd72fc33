//! What the server counts, for whoever looks at it. Counting is one relaxed addition; nothing waits for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that only grow, since the server started.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    rejected: AtomicU64,
    panicked: AtomicU64,
}

/// The [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections that were given a permit.
    pub accepted: u64,
    /// Connections that were turned away because the limit was reached.
    pub rejected: u64,
    /// Sessions that ended in a panic: faults of this program.
    pub panicked: u64,
}

impl Counters {
    /// The numbers now. They may be of slightly different moments.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            rejected: read(&self.rejected),
            panicked: read(&self.panicked),
        }
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panic(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }
}
