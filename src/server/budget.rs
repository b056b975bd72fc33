//! How much memory all requests in flight may take together.
//!
//! What a connection keeps between two turns — the beginning of a request, writes that are being
//! committed, answers that the client has not read — is charged here. When all is spent, reading
//! pauses: the kernel holds what clients send, then the clients themselves, and nothing is dropped. So
//! that it goes on at all, one connection at a time may always complete the request it has begun. That
//! favour is for one request: however much more the connection has to say, it is the next one's then.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The memory of requests in flight.
#[derive(Debug)]
pub(super) struct Budget {
    spent: AtomicUsize,
    /// The connection that may go on when all is spent, or 0.
    favoured: AtomicU64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { spent: AtomicUsize::new(0), favoured: AtomicU64::new(0) }
    }

    /// Replaces a charge by another.
    pub(super) fn recharge(&self, charged: usize, held: usize) {
        if held >= charged {
            self.spent.fetch_add(held - charged, Ordering::Relaxed);
        } else {
            self.spent.fetch_sub(charged - held, Ordering::Relaxed);
        }
    }

    /// What is charged now, in bytes.
    pub(super) fn spent(&self) -> usize {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether a connection may read, with `most` bytes to spend in all. If there is nothing left, only
    /// one may that has begun a request.
    pub(super) fn may_read(&self, most: usize, connection: u64, has_begun: bool) -> bool {
        self.has_room(most) || (has_begun && self.favour(connection))
    }

    /// Whether there is something left of `most` bytes.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.spent() < most
    }

    /// Whether the next that has begun a request will be favoured.
    pub(super) fn favours_nobody(&self) -> bool {
        self.favoured.load(Ordering::Relaxed) == 0
    }

    /// Ends the favour, if it is this connection's. Whether it was.
    pub(super) fn unfavour(&self, connection: u64) -> bool {
        let favoured = self.favoured.load(Ordering::Relaxed) == connection;
        if favoured {
            self.favoured.store(0, Ordering::Relaxed);
        }
        favoured
    }

    fn favour(&self, connection: u64) -> bool {
        match self.favoured.compare_exchange(0, connection, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(favoured) => favoured == connection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_all_is_spent_one_at_a_time_may_complete_its_request() {
        let budget = Budget::new();
        assert!(budget.may_read(100, 1, false) && budget.favours_nobody());
        budget.recharge(0, 100);
        assert!(!budget.has_room(100) && budget.has_room(101));
        assert!(!budget.may_read(100, 1, false), "nobody begins");
        assert!(budget.may_read(100, 2, true) && budget.may_read(100, 2, true));
        assert!(!budget.may_read(100, 3, true));
        assert!(!budget.unfavour(3));
        assert!(!budget.may_read(100, 3, true), "it was not its own");
        assert!(budget.unfavour(2));
        assert!(budget.may_read(100, 3, true));
        budget.recharge(100, 99);
        assert!(budget.may_read(100, 1, false));
        assert_eq!(budget.spent(), 99);
    }
}
