//! The queue between those who write and the one thread that commits.
//!
//! It is as long as there are writers who wait: each connection has at most one submission under way,
//! and the server bounds what all of them together may hold in memory. A bound here would only make
//! somebody wait who must not.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::oneshot;

use super::done::Done;
use super::{SpaceError, StoreError, Write};
use crate::unpoisoned::Unpoisoned as _;

/// Something for the committer to do, and whom to tell.
pub(super) enum Command {
    Write {
        writes: Vec<Write>,
        done: Done,
    },
    /// A change of an entry of the store's own, by its full key. Always synced.
    Own {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Gives the disk space of the journals back.
    Trim,
    CreateSpace {
        name: String,
        wal: bool,
        reply: oneshot::Sender<Result<(), SpaceError>>,
    },
    DeleteSpace {
        name: String,
        /// Changes of entries of the store's own that are committed with it, by their full keys.
        also: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        reply: oneshot::Sender<Result<(), SpaceError>>,
    },
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Command>,
    closed: bool,
}

/// What woke the committer.
pub(super) enum Taken {
    /// These commands, in the order they came.
    Commands(Vec<Command>),
    /// Nothing came before the deadline.
    Deadline,
    /// Closed, and nothing is left to do.
    Closed,
}

impl Queue {
    /// Queues a command. Once the queue is closed the command is dropped, which tells whoever waits
    /// for it.
    pub(super) fn push(&self, command: Command) {
        let mut state = self.state();
        if state.closed {
            // Whom it tells may do anything, also push.
            drop(state);
            return;
        }
        state.waiting.push(command);
        let first = state.waiting.len() == 1;
        drop(state);
        // The committer takes everything at once: only the first of a group need wake it.
        if first {
            self.arrived.notify_one();
        }
    }

    /// Takes everything that waits; blocks until there is something, or until `deadline`.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Taken {
        let mut state = self.state();
        loop {
            if !state.waiting.is_empty() {
                return Taken::Commands(mem::take(&mut state.waiting));
            }
            if state.closed {
                return Taken::Closed;
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.arrived.wait(state).unpoisoned(),
                Some(left) if left.is_zero() => return Taken::Deadline,
                Some(left) => self.arrived.wait_timeout(state, left).unpoisoned().0,
            };
        }
    }

    /// Lets nothing more in. What waits is still taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Lets nothing more in and drops what waits: nobody will take it.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = mem::take(&mut self.state().waiting);
        drop(waiting);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}
