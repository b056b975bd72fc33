//! What a connection needs while it has work, and the pool that it comes from.
//!
//! A connection has it only while it has input or something in flight: thousands of waiting ones cost nothing.

use std::time::Instant;

use super::budget::Charge;
use super::endings::Ending;
use super::handler::{Handler, Scratch};
use super::input::{Input, SPARE_ROOM};
use super::ticks::Ticks;

/// Buffers that have grown beyond this are not kept for the next connection.
const LARGEST_KEPT: usize = 64 * 1024;

/// The most that are kept for the next connections.
const MOST_KEPT: usize = 256;

/// What a connection needs while it has work.
pub struct Work<H: Handler> {
    /// What was read and not yet handled.
    pub input: Input,
    /// Answers not yet sent.
    pub output: Vec<u8>,
    /// What the session needs beside that.
    pub scratch: H::Scratch,
    /// When the worker learnt of the input that is handled.
    pub since: Option<Instant>,
    /// How much of `output` has been sent.
    pub(super) sent: usize,
    /// The reason for ending the connection after `output`, if it ends.
    pub(super) last: Option<Ending>,
    /// The last check whether the client progresses, and the bytes it had sent and read by then.
    pub(super) mark: Option<(Ticks, u64)>,
    /// The bytes of its request that had arrived when there was no memory for them.
    pub(super) unread: usize,
    /// Whether it is charged to the reserve, as a request that had arrived completely.
    pub(super) from_reserve: bool,
    /// The budget's charge for all of this.
    pub(super) charged: Charge,
}

/// Work that is not in use, of one worker.
pub(super) struct Pool<H: Handler> {
    /// In boxes, because connections hold them in boxes: one word in each, and moving it copies nothing.
    spare: Vec<Box<Work<H>>>,
    /// The fewest that were spare since the pool was last trimmed.
    unused: usize,
}

impl<H: Handler> Work<H> {
    /// How many bytes it takes.
    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.input.capacity() + self.output.capacity() + self.scratch.held()
    }

    /// Frees room that is not needed while the connection waits.
    pub(super) fn compact(&mut self) {
        self.input.compact();
        if self.output.is_empty() && self.output.capacity() > SPARE_ROOM {
            self.output = Vec::new();
        }
    }

    /// The largest of its buffers.
    fn largest(&self) -> usize {
        self.input.capacity().max(self.output.capacity()).max(self.scratch.held())
    }

    fn clear(&mut self) {
        let Self { input, output, scratch, since, sent, last, mark, unread, from_reserve, charged } = self;
        input.clear();
        output.clear();
        scratch.clear();
        (*since, *sent, *last, *mark, *unread) = (None, 0, None, None, 0);
        (*from_reserve, *charged) = (false, Charge::default());
    }
}

impl<H: Handler> Default for Work<H> {
    fn default() -> Self {
        Self {
            input: Input::default(),
            output: Vec::new(),
            scratch: H::Scratch::default(),
            since: None,
            sent: 0,
            last: None,
            mark: None,
            unread: 0,
            from_reserve: false,
            charged: Charge::default(),
        }
    }
}

impl<H: Handler> Pool<H> {
    /// Empty work.
    pub(super) fn take(&mut self) -> Box<Work<H>> {
        let work = self.spare.pop().unwrap_or_default();
        self.unused = self.unused.min(self.spare.len());
        work
    }

    /// Takes work back, whatever its content.
    pub(super) fn give(&mut self, mut work: Box<Work<H>>) {
        // Before its size is checked: work that others do for it ends in any case.
        work.clear();
        if work.largest() <= LARGEST_KEPT && self.spare.len() < MOST_KEPT {
            self.spare.push(work);
        }
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.spare.is_empty()
    }

    /// Frees what was not needed since the last call.
    pub(super) fn trim(&mut self) {
        self.spare.truncate(self.spare.len() - self.unused.min(self.spare.len()));
        self.unused = self.spare.len();
    }
}

impl<H: Handler> Default for Pool<H> {
    fn default() -> Self {
        Self { spare: Vec::new(), unused: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::READ_ROOM;
    use super::super::tests::Relay;
    use super::*;

    #[test]
    fn what_comes_back_is_empty_and_what_has_grown_stays_away() {
        let mut pool = Pool::<Relay>::default();
        let mut used = pool.take();
        used.input.push(b"secret\nmore");
        used.input.consume(7);
        used.output.push(1);
        (used.last, used.sent) = (Some(Ending::Protocol), 1);
        pool.give(used);
        let mut again = pool.take();
        assert!(again.input.is_empty() && again.output.is_empty() && again.last.is_none() && again.sent == 0);
        assert_eq!((again.input.pending(), again.input.searched()), (&b""[..], 0));
        again.output.reserve(LARGEST_KEPT + 1);
        pool.give(again);
        assert!(pool.spare.is_empty());
    }

    #[test]
    fn what_nobody_has_needed_is_freed() {
        let mut pool = Pool::<Relay>::default();
        let taken: Vec<_> = (0..3).map(|_| pool.take()).collect();
        taken.into_iter().for_each(|work| pool.give(work));
        pool.trim();
        assert_eq!(pool.spare.len(), 3, "they were all needed");
        let one = pool.take();
        pool.give(one);
        pool.trim();
        assert_eq!(pool.spare.len(), 1);
        pool.trim();
        assert_eq!(pool.spare.len(), 0);
    }

    #[test]
    fn a_waiting_connection_keeps_little_more_than_what_it_has() {
        let mut work = Work::<Relay>::default();
        work.input.push(&[b'x'; READ_ROOM]);
        work.input.consume(READ_ROOM - 4);
        work.output.reserve(READ_ROOM);
        work.compact();
        assert!(work.held() < 1000, "{}", work.held());
        assert_eq!(work.input.pending(), b"xxxx");
    }
}
