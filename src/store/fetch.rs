//! Reads that may wait, on threads of their own.
//!
//! A caller [reads](super::Store::kept) what is in memory itself. Everything else needs the engine, which may wait for
//! the disk, for a lock whose holder waits for the disk, or until it is reopened after a failure. That holds even for a
//! key in its memory, since it writes to the disk under the lock that a lookup takes. So threads that others wait for
//! never call it.
//!
//! A reader takes one [`Fetch`] at a time, and does as much of it as takes little time: for the rest the caller asks
//! again, and others come first. Mostly one reader is awake. Another is woken if something has waited for longer than a
//! read from memory takes: then the first waits for the disk.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::{Space, StoreError, Value};
use crate::unpoisoned::Unpoisoned as _;

/// How many reads may wait for the disk at the same time.
pub(super) const READERS: usize = 4;

/// A fetch that has waited this long waits for a reader that waits for the disk.
const LONG: Duration = Duration::from_micros(300);

/// A fetch that has taken this long, or found this many bytes, is returned as it is.
const SLICE: Duration = Duration::from_millis(1);
const SLICE_BYTES: usize = 64 << 10;

/// The most bytes that may be found and not yet taken over. Beyond it reading pauses.
const MOST_HELD: usize = 8 << 20;

/// A key to read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The space of the key.
    pub space: Space,
    /// The key.
    pub key: Vec<u8>,
}

/// The result of reading a key.
pub type Found = Result<Option<Value>, StoreError>;

/// Reads to perform in order.
pub struct Fetch {
    /// The reads.
    pub reads: Vec<Read>,
    /// Dropped when the result is no longer wanted. Then the fetch is skipped.
    pub wanted: Weak<()>,
    /// Called once with the results, on the reading thread; dropped if the fetch was not done.
    pub done: Box<dyn FnOnce(Fetched) + Send>,
}

/// The result of a [`Fetch`].
#[derive(Debug)]
pub struct Fetched {
    /// The results, in order, of at least one read.
    pub found: Vec<Found>,
    /// The reads that were left out, because the others took their time.
    pub rest: Vec<Read>,
    _held: Held,
}

/// Bytes that were found and not yet taken over.
struct Held {
    readers: Arc<Readers>,
    bytes: usize,
}

/// The queue to the threads that read.
#[derive(Default)]
pub(super) struct Readers {
    state: Mutex<State>,
    arrived: Condvar,
    taken_over: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Instant, Fetch)>,
    /// Readers that are idle.
    idle: usize,
    held: usize,
    closed: bool,
}

impl Readers {
    /// Queues a fetch. It is dropped if the store is closed.
    pub(super) fn push(&self, fetch: Fetch) {
        let mut state = self.state();
        if state.closed {
            // Unlocked first: dropping the fetch runs code of the caller.
            drop(state);
            return;
        }
        state.waiting.push_back((Instant::now(), fetch));
        if state.idle == READERS || state.is_late() {
            self.arrived.notify_one();
        }
    }

    /// Wakes another reader if something waits for long.
    pub(super) fn look(&self) {
        if self.state().is_late() {
            self.arrived.notify_one();
        }
    }

    /// Accepts no more. Readers end when they have finished their current fetch.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.arrived.notify_all();
        self.taken_over.notify_all();
    }

    fn take(&self) -> Option<Fetch> {
        let mut state = self.state();
        while !state.closed && state.held > MOST_HELD {
            state = self.taken_over.wait(state).unpoisoned();
        }
        loop {
            if state.closed {
                return None;
            }
            if let Some((_, fetch)) = state.waiting.pop_front() {
                if state.is_late() {
                    self.arrived.notify_one();
                }
                return Some(fetch);
            }
            state.idle += 1;
            state = self.arrived.wait(state).unpoisoned();
            state.idle -= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    /// Whether an idle reader could take a fetch that has waited for long.
    fn is_late(&self) -> bool {
        self.idle > 0 && self.waiting.front().is_some_and(|(since, _)| since.elapsed() > LONG)
    }
}

/// Starts the threads.
pub(super) fn spawn(shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    let start = |number| {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(format!("store-read-{number}")).spawn(move || run(&shared))
    };
    let started: io::Result<_> = (0..READERS).map(start).collect();
    // If one could not be started, the others are not needed.
    started.inspect_err(|_| shared.readers.close())
}

fn run(shared: &Shared) {
    while let Some(fetch) = shared.readers.take() {
        let Fetch { reads, wanted, done } = fetch;
        if wanted.strong_count() == 0 {
            continue;
        }
        // A panic is reported by dropping `done`, and does not stop reads for others.
        if catch_unwind(AssertUnwindSafe(|| done(read(shared, reads)))).is_err() {
            tracing::error!("a read from the store has panicked");
        }
    }
}

fn read(shared: &Shared, reads: Vec<Read>) -> Fetched {
    let begun = Instant::now();
    let mut held = Held { readers: Arc::clone(&shared.readers), bytes: 0 };
    let mut found = Vec::with_capacity(reads.len());
    let mut reads = reads.into_iter();
    for Read { space, key } in &mut reads {
        let value = shared.get(&space, &key);
        if let Ok(Some(value)) = &value {
            held.bytes += value.len();
        }
        found.push(value);
        if held.bytes > SLICE_BYTES || begun.elapsed() > SLICE {
            break;
        }
    }
    shared.readers.state().held += held.bytes;
    Fetched { found, rest: reads.collect(), _held: held }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.readers.state();
        let was_full = state.held > MOST_HELD;
        state.held = state.held.saturating_sub(self.bytes);
        if was_full && state.held <= MOST_HELD {
            self.readers.taken_over.notify_all();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.bytes).finish()
    }
}
