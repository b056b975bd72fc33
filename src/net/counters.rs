//! The server's counters of its connections.
//!
//! Each worker has a block of numbers of its own, in cache lines of its own, which no other thread writes: to count is
//! a load, an addition and a store, a nanosecond or two, and nothing waits for it. The reader adds the
//! [blocks](PerWorker) up. Admitted and rejected connections are not counted here: the limiter counts them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::unpoisoned::Unpoisoned;

use super::budget::Budget;
use super::endings::Ending;

/// The counters since the server started. Any thread may read them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    workers: PerWorker<Block>,
    budget: Arc<Budget>,
}

/// The counters of one worker. Only their owner writes them, which is why counting is cheap.
#[derive(Debug)]
pub(super) struct Recorder {
    block: Arc<Block>,
}

/// The values of all [`Counters`], each read at a slightly different moment.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Sessions that ended in a panic: faults of this program.
    pub(crate) panicked: u64,
    /// Connections that ended, by each possible reason.
    pub(crate) endings: Vec<(Ending, u64)>,
    /// The bytes that requests in flight take now.
    pub(crate) inflight: usize,
    /// The number of connections that wait for memory now.
    pub(crate) waiting: usize,
    /// How often reading has paused for lack of memory.
    pub(crate) pauses: u64,
}

/// A block of numbers for each worker.
#[derive(Debug)]
pub(crate) struct PerWorker<B>(Mutex<Vec<Arc<B>>>);

/// Two cache lines, since processors fetch pairs of them.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Block {
    panicked: AtomicU64,
    endings: [AtomicU64; Ending::ALL.len()],
}

impl Counters {
    /// Counters that include the memory of requests in flight.
    pub(super) fn of(budget: Arc<Budget>) -> Self {
        Self { workers: PerWorker::default(), budget }
    }

    /// A recorder for one more worker. Its counts stay when it is gone.
    pub(super) fn recorder(&self) -> Recorder {
        Recorder { block: self.workers.add() }
    }

    /// The current values.
    pub(crate) fn read(&self) -> Counts {
        let workers = self.workers.all();
        Counts {
            panicked: sum(&workers, |block| &block.panicked),
            endings: Ending::ALL
                .map(|ending| (ending, sum(&workers, |block| &block.endings[ending as usize])))
                .into(),
            inflight: self.budget.spent(),
            waiting: self.budget.waiting(),
            pauses: self.budget.pauses(),
        }
    }
}

impl Recorder {
    /// Counts a connection that ended.
    pub(super) fn ended(&mut self, ending: Ending) {
        add(&self.block.endings[ending as usize], 1);
    }

    /// Counts a session that ended in a panic.
    pub(super) fn panic(&mut self) {
        add(&self.block.panicked, 1);
    }
}

impl<B: Default> PerWorker<B> {
    /// A block for one more worker. It stays when the worker is gone.
    pub(crate) fn add(&self) -> Arc<B> {
        let block = Arc::<B>::default();
        self.0.lock().unpoisoned().push(Arc::clone(&block));
        block
    }

    /// All blocks, to be [added up](sum).
    pub(crate) fn all(&self) -> Vec<Arc<B>> {
        self.0.lock().unpoisoned().clone()
    }
}

impl<B> Default for PerWorker<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The sum of one number over all workers.
pub(crate) fn sum<B>(workers: &[Arc<B>], number: impl Fn(&B) -> &AtomicU64) -> u64 {
    workers.iter().map(|block| number(block).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
}

/// Not one atomic step, and need not be: there is no other writer.
pub(crate) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_up_and_stay_when_their_workers_are_gone() {
        let counters = Counters::default();
        let (mut first, mut second) = (counters.recorder(), counters.recorder());
        second.panic();
        first.ended(Ending::Killed);
        second.ended(Ending::Killed);
        second.ended(Ending::Failed);
        drop(second);
        let counts = counters.read();
        assert_eq!(counts.panicked, 1);
        let ended: Vec<_> = counts.endings.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(ended, [&(Ending::Killed, 2), &(Ending::Failed, 1)]);
    }
}
