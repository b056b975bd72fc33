//! How much memory all requests in flight may take together.
//!
//! What a connection keeps between two turns (the beginning of a request, writes that are being committed, answers that
//! the client has not read) is charged here. When all is spent, reading pauses: the kernel buffers what clients send,
//! and then the clients themselves do. Four rules keep a client from holding what others need:
//!
//! - Clients that have not logged in have a small share of their own.
//! - A request that has arrived completely and fits into one read is served all the same, from a reserve with its own
//!   count: neither the beginnings of requests nor unread answers can take it. An answer from the reserve that the
//!   client does not take at once is charged to the rest, and if even that is spent, the connection ends.
//! - One connection at a time may complete a larger request that it has begun; that overdraft is for one request.
//! - A connection that holds memory and hardly progresses gives way: the worker ends such connections, the largest
//!   first.
//!
//! Its tests are in `tests/library/interleavings/`.

use std::time::Instant;

use super::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, Unpoisoned};

use super::settings::Room;

/// The memory of requests in flight.
#[derive(Debug, Default)]
pub(super) struct Budget {
    users: AtomicUsize,
    guests: AtomicUsize,
    reserve: AtomicUsize,
    /// The connection that may go on when all is spent, or 0.
    overdrawn: AtomicU64,
    /// The number of connections that wait for memory.
    waiting: AtomicUsize,
    /// How often reading has paused.
    pauses: AtomicU64,
    /// Since when it is paused.
    paused: Mutex<Option<Instant>>,
}

/// What a connection is charged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Charge {
    pub(super) bytes: usize,
    pub(super) share: Share,
}

/// The owner of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Share {
    /// Clients that are logged in.
    #[default]
    Users,
    /// Clients that are not.
    Guests,
    /// Requests of users that had arrived completely when there was no other memory.
    Reserve,
}

/// What a connection may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// Whatever there is.
    All,
    /// Only requests that have arrived completely.
    Whole,
    /// Nothing.
    Nothing,
}

/// The client that requests a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client that has not logged in.
    Guest,
    /// A user whose next request is still unread.
    Fresh,
    /// A user whose request is partly read.
    Begun {
        /// Whether it may have the overdraft.
        may_overdraw: bool,
    },
}

impl Budget {
    /// Replaces a charge by another.
    pub(super) fn recharge(&self, charged: Charge, held: Charge) {
        if charged.share != held.share {
            self.share(held.share).fetch_add(held.bytes, Ordering::Relaxed);
            self.share(charged.share).fetch_sub(charged.bytes, Ordering::Relaxed);
        } else if held.bytes >= charged.bytes {
            self.share(held.share).fetch_add(held.bytes - charged.bytes, Ordering::Relaxed);
        } else {
            self.share(held.share).fetch_sub(charged.bytes - held.bytes, Ordering::Relaxed);
        }
    }

    /// What is charged now, in bytes.
    pub(super) fn spent(&self) -> usize {
        [&self.users, &self.guests, &self.reserve].iter().map(|share| share.load(Ordering::Relaxed)).sum()
    }

    /// What a connection may read.
    pub(super) fn grant(&self, room: Room, connection: u64, asker: Asker) -> Grant {
        let (share, may_overdraw, may_have_whole) = match asker {
            Asker::Guest => (Share::Guests, false, true),
            Asker::Fresh => (Share::Users, false, self.has_room(room, Share::Reserve)),
            // A begun request may be large, and completing it takes as much again.
            Asker::Begun { may_overdraw } => (Share::Users, may_overdraw, !self.is_exhausted(room)),
        };
        if self.has_room(room, share) || (may_overdraw && self.grant_overdraft(connection)) {
            Grant::All
        } else if may_have_whole {
            Grant::Whole
        } else {
            Grant::Nothing
        }
    }

    /// Whether more input charged to this share may be read.
    pub(super) fn has_room(&self, room: Room, share: Share) -> bool {
        let most = match share {
            Share::Users => room.free,
            Share::Guests => room.guests,
            Share::Reserve => room.reserve,
        };
        self.share(share).load(Ordering::Relaxed) < most
    }

    /// Whether the reserve is spent, or unread answers take as much as they may.
    pub(super) fn is_exhausted(&self, room: Room) -> bool {
        self.users.load(Ordering::Relaxed) >= room.most || !self.has_room(room, Share::Reserve)
    }

    /// Whether the next connection that has begun a request will be overdrawn.
    pub(super) fn has_no_overdraft(&self) -> bool {
        self.overdrawn.load(Ordering::Relaxed) == 0
    }

    pub(super) fn has_overdraft(&self, connection: u64) -> bool {
        self.overdrawn.load(Ordering::Relaxed) == connection
    }

    /// Ends the overdraft if this connection has it, and returns whether it did.
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
                "reading paused: requests in flight take {inflight} bytes, and client.max_inflight_bytes leaves {} \
                 for them; requests that arrive complete are still read",
                room.free
            );
        }
    }

    /// A connection stops waiting for memory.
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

    /// Records the end of the pause, if no connection has to wait any more. Must be called once a second.
    pub(super) fn end_pause(&self) {
        let mut paused = self.paused();
        if self.waiting() == 0
            && let Some(since) = paused.take()
        {
            drop(paused);
            let took = since.elapsed();
            tracing::info!(seconds = took.as_secs_f64(), "reading resumed after {took:.1?}");
        }
    }

    fn grant_overdraft(&self, connection: u64) -> bool {
        match self.overdrawn.compare_exchange(0, connection, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(overdrawn) => overdrawn == connection,
        }
    }

    fn share(&self, share: Share) -> &AtomicUsize {
        match share {
            Share::Users => &self.users,
            Share::Guests => &self.guests,
            Share::Reserve => &self.reserve,
        }
    }

    fn paused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused.lock().unpoisoned()
    }
}

impl Charge {
    /// The charge of a client that is logged in.
    #[cfg(test)]
    pub(super) fn user(bytes: usize) -> Self {
        Self { bytes, share: Share::Users }
    }
}
