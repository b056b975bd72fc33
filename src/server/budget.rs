//! How much memory all requests in flight may take together.
//!
//! What a connection keeps between two turns — the beginning of a request, writes that are being
//! committed, answers that the client has not read — is charged here. When all is spent, reading
//! pauses: the kernel holds what clients send, then the clients themselves. Three rules keep anybody from
//! holding what others need:
//!
//! - Clients that have not logged in have a small share of their own.
//! - A request that has come in whole and fits into one read is served all the same, from a reserve that the
//!   beginnings of requests cannot take. One connection at a time may complete a larger one that it has begun;
//!   that overdraft is for one request.
//! - Whoever holds memory and hardly goes on gives way: the worker ends such connections, the largest first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The memory of requests in flight.
#[derive(Debug, Default)]
pub(super) struct Budget {
    users: AtomicUsize,
    guests: AtomicUsize,
    /// The connection that may go on when all is spent, or 0.
    overdrawn: AtomicU64,
    /// Connections that wait for memory.
    waiting: AtomicUsize,
    /// How often reading has paused.
    pauses: AtomicU64,
    /// Since when it does.
    paused: Mutex<Option<Instant>>,
}

/// What a connection is charged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Charge {
    pub(super) bytes: usize,
    /// Whether its client has not logged in.
    pub(super) is_guest: bool,
}

/// How much may be spent, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// On requests of any kind.
    pub(super) free: usize,
    /// The same and the reserve for those that have come in whole.
    pub(super) with_reserve: usize,
    /// On clients that have not logged in.
    pub(super) guests: usize,
}

/// What a connection may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// Whatever there is.
    All,
    /// Lines that have come in to their end.
    Lines,
    /// Nothing.
    Nothing,
}

impl Budget {
    /// Replaces a charge by another.
    pub(super) fn recharge(&self, charged: Charge, held: Charge) {
        if charged.is_guest != held.is_guest {
            self.share(held).fetch_add(held.bytes, Ordering::Relaxed);
            self.share(charged).fetch_sub(charged.bytes, Ordering::Relaxed);
        } else if held.bytes >= charged.bytes {
            self.share(held).fetch_add(held.bytes - charged.bytes, Ordering::Relaxed);
        } else {
            self.share(held).fetch_sub(charged.bytes - held.bytes, Ordering::Relaxed);
        }
    }

    /// What is charged now, in bytes.
    pub(super) fn spent(&self) -> usize {
        self.users.load(Ordering::Relaxed) + self.guests.load(Ordering::Relaxed)
    }

    /// What a connection may read.
    pub(super) fn grant(&self, room: Room, connection: u64, is_guest: bool, has_begun: bool) -> Grant {
        if self.has_room(room, is_guest) || (!is_guest && has_begun && self.grant_overdraft(connection)) {
            Grant::All
        } else if is_guest || self.users.load(Ordering::Relaxed) < room.with_reserve {
            Grant::Lines
        } else {
            Grant::Nothing
        }
    }

    /// Whether requests of any kind may be read.
    pub(super) fn has_room(&self, room: Room, is_guest: bool) -> bool {
        if is_guest {
            self.guests.load(Ordering::Relaxed) < room.guests
        } else {
            self.users.load(Ordering::Relaxed) < room.free
        }
    }

    /// Whether not even requests that have come in whole may be read.
    pub(super) fn is_exhausted(&self, room: Room) -> bool {
        self.users.load(Ordering::Relaxed) >= room.with_reserve
    }

    /// Whether the next that has begun a request will be overdrawn.
    pub(super) fn has_no_overdraft(&self) -> bool {
        self.overdrawn.load(Ordering::Relaxed) == 0
    }

    pub(super) fn has_overdraft(&self, connection: u64) -> bool {
        self.overdrawn.load(Ordering::Relaxed) == connection
    }

    /// Ends the overdraft, if it is this connection's. Whether it was.
    pub(super) fn end_overdraft(&self, connection: u64) -> bool {
        let overdrawn = self.has_overdraft(connection);
        if overdrawn {
            self.overdrawn.store(0, Ordering::Relaxed);
        }
        overdrawn
    }

    /// A connection begins to wait for memory.
    pub(super) fn wait(&self, room: Room) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let mut paused = self.paused();
        if paused.is_none() {
            *paused = Some(Instant::now());
            self.pauses.fetch_add(1, Ordering::Relaxed);
            drop(paused);
            let inflight = self.spent();
            tracing::warn!(
                inflight,
                most = room.free,
                "reading pauses: requests in flight take {inflight} bytes, and client.max_inflight_bytes leaves {} for \
                 them; requests that come in whole go on",
                room.free
            );
        }
    }

    /// It waits no more.
    pub(super) fn stop_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many wait for memory.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How often reading has paused.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// Whether reading pauses, or did within the last second.
    pub(super) fn is_paused(&self) -> bool {
        self.paused().is_some()
    }

    /// Notes that nobody has to wait any more, if that is so. To be called once a second.
    pub(super) fn end_pause(&self) {
        let mut paused = self.paused();
        if self.waiting() == 0
            && let Some(since) = paused.take()
        {
            drop(paused);
            let took = since.elapsed();
            tracing::info!(seconds = took.as_secs_f64(), "reading goes on after {took:.1?}");
        }
    }

    fn grant_overdraft(&self, connection: u64) -> bool {
        match self.overdrawn.compare_exchange(0, connection, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(overdrawn) => overdrawn == connection,
        }
    }

    fn share(&self, charge: Charge) -> &AtomicUsize {
        if charge.is_guest { &self.guests } else { &self.users }
    }

    fn paused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// Of a client that is logged in.
    #[cfg(test)]
    pub(super) fn user(bytes: usize) -> Self {
        Self { bytes, is_guest: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { free: 100, with_reserve: 120, guests: 10 };

    #[test]
    fn when_all_is_spent_whole_lines_are_read_and_one_at_a_time_may_complete_its_request() {
        let budget = Budget::default();
        let grant = |connection, has_begun| budget.grant(ROOM, connection, false, has_begun);
        assert_eq!(grant(1, false), Grant::All);
        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(grant(1, false), Grant::Lines, "nobody begins");
        assert_eq!((grant(2, true), grant(2, true)), (Grant::All, Grant::All));
        assert_eq!(grant(3, true), Grant::Lines);
        assert!(!budget.end_overdraft(3));
        assert_eq!(grant(3, true), Grant::Lines, "it was not its own");
        assert!(budget.end_overdraft(2));
        assert_eq!(grant(3, true), Grant::All);
        budget.recharge(Charge::user(100), Charge::user(120));
        assert_eq!((grant(1, false), grant(2, true)), (Grant::Nothing, Grant::Nothing));
        budget.recharge(Charge::user(120), Charge::user(99));
        assert_eq!(grant(1, false), Grant::All);
        assert_eq!(budget.spent(), 99);
    }

    #[test]
    fn guests_take_nothing_from_users_and_a_login_moves_the_charge() {
        let budget = Budget::default();
        let guest = Charge { bytes: 1000, is_guest: true };
        budget.recharge(Charge::default(), guest);
        assert_eq!(budget.grant(ROOM, 1, true, false), Grant::Lines);
        assert_eq!(budget.grant(ROOM, 1, true, true), Grant::Lines, "no has_overdraft");
        assert_eq!(budget.grant(ROOM, 2, false, false), Grant::All);
        budget.recharge(guest, Charge::user(50));
        assert_eq!(budget.grant(ROOM, 1, true, false), Grant::All);
        assert_eq!(budget.spent(), 50);
    }

    #[test]
    fn a_pause_is_counted_once_and_ends_when_nobody_waits() {
        let budget = Budget::default();
        budget.wait(ROOM);
        budget.wait(ROOM);
        budget.stop_waiting();
        budget.end_pause();
        assert!(budget.is_paused());
        budget.stop_waiting();
        budget.wait(ROOM);
        assert_eq!((budget.waiting(), budget.pauses()), (1, 1), "it has not ended in between");
        budget.stop_waiting();
        budget.end_pause();
        assert!(!budget.is_paused());
    }
}
