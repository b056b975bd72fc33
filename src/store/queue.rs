//! The queue between the writers and the one committing thread.
//!
//! Its length is the number of waiting writers: each connection has at most one submission under way, and the server
//! bounds how much memory all of them hold together. A bound here would only block a thread that must not wait.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::oneshot;

use super::done::Done;
use super::{SpaceError, StoreError, Write};
use crate::unpoisoned::Unpoisoned as _;

/// A command for the committer, and where to send its answer.
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
    /// Frees the disk space of the journals.
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
    /// These commands, in order of arrival.
    Commands(Vec<Command>),
    /// Nothing arrived before the deadline.
    Deadline,
    /// Closed, and nothing is left to do.
    Closed,
}

impl Queue {
    /// Queues a command. Once the queue is closed the command is dropped, which notifies the caller that waits for it.
    pub(super) fn push(&self, command: Command) {
        let mut state = self.state();
        if state.closed {
            // Unlocked first: the notified caller may do anything, also push.
            drop(state);
            return;
        }
        state.waiting.push(command);
        let first = state.waiting.len() == 1;
        drop(state);
        // The committer takes everything at once: only the first of a group needs to wake it.
        if first {
            self.arrived.notify_one();
        }
    }

    /// Takes all waiting commands; blocks until there is one, or until `deadline`.
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

    /// Accepts no more. Waiting commands are still taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Accepts no more and drops the waiting commands: no thread will take them.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = mem::take(&mut self.state().waiting);
        drop(waiting);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}
