//! What a connection needs while it is worked for, and the pool that it comes from.
//!
//! A connection has it only while it has input, or something in flight: thousands that wait cost none.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use tokio::task::AbortHandle;

use crate::store::{Read, Write};

use super::budget::Charge;
use super::endings::Ending;
use super::tally::Tally;
use super::ticks::Ticks;

/// Room for input to begin with. Larger requests grow it.
const READ_ROOM: usize = 16 * 1024;

/// Buffers that have grown beyond this are not kept for the next connection.
const LARGEST_KEPT: usize = 64 * 1024;

/// How many are kept for the next connections, at most.
const MOST_KEPT: usize = 256;

/// Room that a waiting connection may keep without need.
const SPARE_ROOM: usize = 256;

/// What a connection needs while it is worked for.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// What was read and not yet understood.
    pub(super) input: Input,
    /// Answers not yet sent.
    pub(super) output: Vec<u8>,
    /// How much of `output` has been sent.
    pub(super) sent: usize,
    /// Why the connection ends after `output`, if it does.
    pub(super) last: Option<Ending>,
    /// Writes not yet submitted. Their answers come after all that is in `output`.
    pub(super) writes: Vec<Write>,
    /// Keys not yet read, or to be read after what is in `output` has been sent.
    pub(super) reads: Vec<Read>,
    /// As long as it is there, somebody waits for keys that are being read.
    pub(super) waiting: Option<Arc<()>>,
    /// How many writes are being committed.
    pub(super) submitted: usize,
    /// How many bytes they take.
    pub(super) in_flight: usize,
    /// When it was last looked whether the client goes on, and how many bytes it had sent and read by then.
    pub(super) mark: Option<(Ticks, u64)>,
    /// How many bytes of its request were there when there was no memory for them.
    pub(super) unread: usize,
    /// The check of a login that is under way: nobody else needs it.
    pub(super) login: Option<AbortHandle>,
    /// Requests that are to be counted.
    pub(super) tally: Tally,
    /// Whether it is charged to the reserve, as a request that had come in whole.
    pub(super) from_reserve: bool,
    /// How many bytes the budget was charged with for all this.
    pub(super) charged: Charge,
}

/// Bytes read from a client, cut into lines.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Up to where no line feed is, so that a line that comes in bytewise is not searched again and again.
    searched: usize,
}

/// What [`Input::line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line, without its line feed.
    Complete(&'a [u8]),
    /// No line feed yet.
    Partial,
    /// More bytes than a line may have.
    TooLong,
}

/// What [`Input::fill`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// There are new bytes, and perhaps more to come at once.
    More,
    /// There are new bytes, and the socket is drained.
    Drained,
    /// Nothing was there.
    Nothing,
    /// There is the beginning of a line, of which nothing was read: so many bytes, or more.
    Unfinished(usize),
    /// The client will send no more, or the connection is broken.
    Closed(Ending),
}

/// Work that is not in use, of one worker.
#[derive(Debug, Default)]
pub(super) struct Pool {
    #[expect(
        clippy::vec_box,
        reason = "connections hold the box: it is one word in each, and moving it copies nothing"
    )]
    spare: Vec<Box<Work>>,
    /// The fewest that were spare since the pool was last trimmed.
    unused: usize,
}

impl Input {
    /// Reads once from a non-blocking socket.
    pub(super) fn fill(&mut self, socket: impl AsFd) -> Fill {
        self.settle();
        if self.bytes.capacity() - self.bytes.len() < READ_ROOM / 2 {
            self.bytes.reserve(READ_ROOM);
        }
        loop {
            let room = self.bytes.capacity() - self.bytes.len();
            return match recv(&socket, spare_capacity(&mut self.bytes), RecvFlags::empty()) {
                Ok((_, 0)) => Fill::Closed(Ending::Client),
                Ok((_, read)) if read < room => Fill::Drained,
                Ok(_) => Fill::More,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Fill::Nothing,
                Err(error) => Fill::Closed(Ending::of(error)),
            };
        }
    }

    /// Reads lines that have come in to their end, and nothing else: all that one read returns, or only the
    /// first.
    pub(super) fn fill_lines(&mut self, socket: impl AsFd, only_first: bool) -> Fill {
        self.settle();
        if self.bytes.capacity() - self.bytes.len() < READ_ROOM {
            self.bytes.reserve(READ_ROOM);
        }
        let before = self.bytes.len();
        let there = loop {
            match recv(&socket, spare_capacity(&mut self.bytes), RecvFlags::PEEK) {
                Ok((_, 0)) => return Fill::Closed(Ending::Client),
                Ok((_, there)) => break there,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Fill::Nothing,
                Err(error) => return Fill::Closed(Ending::of(error)),
            }
        };
        let new = &self.bytes[before..];
        let end = if only_first { memchr::memchr(b'\n', new) } else { memchr::memrchr(b'\n', new) };
        let Some(end) = end else {
            self.bytes.truncate(before);
            return Fill::Unfinished(there);
        };
        self.bytes.truncate(before + end + 1);
        loop {
            // The same bytes again: now they are taken.
            match recv(&socket, &mut self.bytes[before..], RecvFlags::empty()) {
                Ok((_, read)) => {
                    self.bytes.truncate(before + read);
                    return Fill::More;
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.bytes.truncate(before);
                    return Fill::Closed(Ending::of(error));
                }
            }
        }
    }

    /// The next line, of at most `longest` bytes. The same one again until [`Input::consume`].
    pub(super) fn line(&mut self, longest: usize) -> Line<'_> {
        let found = memchr::memchr(b'\n', &self.bytes[self.searched..]);
        self.searched = found.map_or(self.bytes.len(), |at| self.searched + at);
        if self.searched - self.start > longest {
            Line::TooLong
        } else if found.is_some() {
            Line::Complete(&self.bytes[self.start..self.searched])
        } else {
            Line::Partial
        }
    }

    /// Moves past the line that [`Input::line`] found.
    pub(super) fn consume(&mut self) {
        self.searched += 1;
        self.start = self.searched;
    }

    /// Whether there is a whole line.
    pub(super) fn has_line(&self) -> bool {
        memchr::memchr(b'\n', &self.bytes[self.start..]).is_some()
    }

    /// Whether all bytes are consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// How many bytes are not consumed.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Gives up most of the room that is not needed for what is there.
    fn compact(&mut self) {
        self.settle();
        if self.bytes.capacity() > 2 * self.bytes.len() + SPARE_ROOM {
            self.bytes.shrink_to(self.bytes.len() + SPARE_ROOM);
        }
    }

    /// Moves what is not consumed to the beginning. Only a part of a line can be left.
    fn settle(&mut self) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
    }
}

impl Work {
    /// How many bytes it takes.
    pub(super) fn held(&self) -> usize {
        size_of::<Self>()
            + self.input.bytes.capacity()
            + self.output.capacity()
            + self.in_flight
            + self.tally.held()
    }

    /// Gives up the room that a large request has needed, which is now held elsewhere.
    pub(super) fn compact_if_large(&mut self) {
        if self.input.bytes.capacity() > 2 * READ_ROOM {
            self.input.compact();
        }
    }

    /// Gives up room that is not needed while the connection waits.
    pub(super) fn compact(&mut self) {
        self.input.compact();
        if self.output.is_empty() && self.output.capacity() > SPARE_ROOM {
            self.output = Vec::new();
        }
    }
}

impl Pool {
    /// Work without anything in it.
    pub(super) fn take(&mut self) -> Box<Work> {
        let work = self.spare.pop().unwrap_or_default();
        self.unused = self.unused.min(self.spare.len());
        work
    }

    /// Takes work back, whatever is in it.
    pub(super) fn give(&mut self, mut work: Box<Work>) {
        if let Some(login) = work.login.take() {
            login.abort();
        }
        let capacity = work.input.bytes.capacity().max(work.output.capacity()).max(work.tally.held());
        if capacity > LARGEST_KEPT || self.spare.len() >= MOST_KEPT {
            return;
        }
        let Work {
            input,
            output,
            sent,
            last,
            writes,
            reads,
            waiting,
            submitted,
            in_flight,
            charged,
            from_reserve,
            mark,
            unread,
            tally,
            login: _,
        } = &mut *work;
        input.bytes.clear();
        (input.start, input.searched) = (0, 0);
        output.clear();
        writes.clear();
        reads.clear();
        *waiting = None;
        tally.clear();
        (*sent, *last, *submitted, *in_flight) = (0, None, 0, 0);
        (*charged, *from_reserve, *mark, *unread) = (Charge::default(), false, None, 0);
        self.spare.push(work);
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.spare.is_empty()
    }

    /// Frees what nobody has needed since the last call.
    pub(super) fn trim(&mut self) {
        self.spare.truncate(self.spare.len() - self.unused.min(self.spare.len()));
        self.unused = self.spare.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &[u8]) -> Input {
        Input { bytes: text.to_vec(), ..Input::default() }
    }

    #[test]
    fn lines_come_one_by_one() {
        let mut input = input(b"a\n\nbc\nd");
        for line in [&b"a"[..], b"", b"bc"] {
            assert_eq!(input.line(9), Line::Complete(line));
            assert_eq!(input.line(9), Line::Complete(line), "the same until it is consumed");
            input.consume();
        }
        assert_eq!(input.line(9), Line::Partial);
        assert!(!input.is_empty());
        input.bytes.push(b'\n');
        assert_eq!(input.line(9), Line::Complete(b"d"));
        input.consume();
        assert!(input.is_empty());
        assert_eq!(input.line(9), Line::Partial);
    }

    #[test]
    fn a_line_may_have_exactly_the_longest_length() {
        assert_eq!(input(b"123\n").line(3), Line::Complete(b"123"));
        assert_eq!(input(b"123").line(3), Line::Partial);
        assert_eq!(input(b"1234").line(3), Line::TooLong);
        assert_eq!(input(b"1234\n").line(3), Line::TooLong);
    }

    #[test]
    fn what_comes_back_is_empty_and_what_has_grown_stays_away() {
        let mut pool = Pool::default();
        let mut used = pool.take();
        used.input = input(b"secret\nmore");
        assert_eq!(used.input.line(99), Line::Complete(b"secret"));
        used.output.push(1);
        (used.last, used.sent) = (Some(Ending::Protocol), 1);
        pool.give(used);
        let mut again = pool.take();
        assert!(again.input.is_empty() && again.output.is_empty() && again.last.is_none() && again.sent == 0);
        assert_eq!(again.input.line(9), Line::Partial);
        again.output.reserve(LARGEST_KEPT + 1);
        pool.give(again);
        assert!(pool.spare.is_empty());
    }

    #[test]
    fn what_nobody_has_needed_is_freed() {
        let mut pool = Pool::default();
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
        let mut work = Work { input: input(b"line\nrest"), ..Work::default() };
        work.input.bytes.reserve(READ_ROOM);
        assert_eq!(work.input.line(9), Line::Complete(b"line"));
        work.input.consume();
        assert_eq!(work.input.line(9), Line::Partial);
        work.output.reserve(READ_ROOM);
        work.compact();
        assert!(work.held() < 1000, "{}", work.held());
        work.input.bytes.push(b'\n');
        assert_eq!(work.input.line(9), Line::Complete(b"rest"));
    }
}
