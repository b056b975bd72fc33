//! The bounded queue between those who write and the one thread that commits.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Outcome, SpaceError, StoreError, Write};

/// How many bytes of keys and values may wait. Whoever comes then waits for room.
const ROOM: u32 = 64 << 20;

/// What a waiting command takes besides its keys and values.
const OVERHEAD: usize = 256;

/// Something for the committer to do, and whom to tell.
pub(super) enum Command {
    Write {
        writes: Vec<Write>,
        reply: oneshot::Sender<Result<Vec<Outcome>, StoreError>>,
    },
    /// A change of an entry of the store's own, by its full key. Always synced.
    Own {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    CreateSpace {
        name: String,
        wal: bool,
        reply: oneshot::Sender<Result<(), SpaceError>>,
    },
    DeleteSpace {
        name: String,
        reply: oneshot::Sender<Result<(), SpaceError>>,
    },
}

/// A command, and the room it takes until it is done.
pub(super) struct Queued {
    pub(super) command: Command,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Queued>,
    closed: bool,
}

/// What woke the committer.
pub(super) enum Taken {
    /// These commands, in the order they came.
    Commands(Vec<Queued>),
    /// Nothing came before the deadline.
    Deadline,
    /// Closed, and nothing is left to do.
    Closed,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Arc::new(Semaphore::new(ROOM as usize)),
        }
    }

    /// Queues a command, once there is room for it.
    pub(super) async fn push(&self, command: Command) -> Result<(), StoreError> {
        // One command larger than all the room gets it all, alone.
        let size = u32::try_from(command.size()).unwrap_or(ROOM).min(ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| StoreError::Closed)?;
        self.admit(command, Some(room))
    }

    /// Queues one of the store's own commands: few and small, they need no room.
    pub(super) fn push_own(&self, command: Command) -> Result<(), StoreError> {
        self.admit(command, None)
    }

    fn admit(&self, command: Command, room: Option<OwnedSemaphorePermit>) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.waiting.push(Queued { command, _room: room });
        // The committer takes everything at once: only the first of a group need wake it.
        if state.waiting.len() == 1 {
            self.arrived.notify_one();
        }
        Ok(())
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
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Taken::Deadline,
                Some(left) => {
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Lets nothing more in. What waits is still taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.room.close();
        self.arrived.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Command {
    /// Its weight against the room.
    fn size(&self) -> usize {
        let bytes: usize = match self {
            Self::Write { writes, .. } => writes
                .iter()
                .map(|write| OVERHEAD + write.key.len() + write.value.as_ref().map_or(0, Vec::len))
                .sum(),
            Self::Own { key, value, .. } => key.len() + value.as_ref().map_or(0, Vec::len),
            Self::CreateSpace { name, .. } | Self::DeleteSpace { name, .. } => name.len(),
        };
        OVERHEAD + bytes
    }
}
