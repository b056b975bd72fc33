//! Buffers of a session at work, and the pool they come from.
//!
//! A session holds buffers only while it has input: thousands that wait cost none.

use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::store::Write;

/// Room for input to begin with. Larger requests grow it.
const READ_ROOM: usize = 16 * 1024;

/// Buffers that have grown beyond this are not kept for the next session.
const LARGEST_KEPT: usize = 64 * 1024;

/// Buffers kept for the next session, at most.
const MOST_KEPT: usize = 32;

/// What a session needs while it is at work.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// What was read and not yet understood.
    pub(super) input: Input,
    /// Answers not yet sent.
    pub(super) output: Vec<u8>,
    /// Writes not yet submitted. Their answers come after all that is in `output`.
    pub(super) writes: Vec<Write>,
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
    /// The client will send no more, or the connection is broken.
    Closed,
}

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(super) struct Pool {
    #[expect(
        clippy::vec_box,
        reason = "sessions hold the box: it is one word in each, and moving it copies nothing"
    )]
    spare: Mutex<Vec<Box<Buffers>>>,
}

impl Input {
    /// Reads once from a non-blocking socket.
    pub(super) fn fill(&mut self, socket: impl AsFd) -> Fill {
        if self.start > 0 {
            // Only the beginning of a line can be left, and it moves at most once per read.
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        if self.bytes.capacity() - self.bytes.len() < READ_ROOM / 2 {
            self.bytes.reserve(READ_ROOM);
        }
        loop {
            let room = self.bytes.capacity() - self.bytes.len();
            return match recv(&socket, spare_capacity(&mut self.bytes), RecvFlags::empty()) {
                Ok((_, 0)) => Fill::Closed,
                Ok((_, read)) if read < room => Fill::Drained,
                Ok(_) => Fill::More,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Fill::Nothing,
                Err(_) => Fill::Closed,
            };
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

    /// Whether all bytes are consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// How many bytes are not consumed.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }
}

impl Pool {
    /// Empty buffers.
    pub(super) fn take(&self) -> Box<Buffers> {
        self.spare().pop().unwrap_or_default()
    }

    /// Takes buffers back, whatever is in them.
    pub(super) fn give(&self, mut buffers: Box<Buffers>) {
        if buffers.input.bytes.capacity() > LARGEST_KEPT || buffers.output.capacity() > LARGEST_KEPT {
            return;
        }
        buffers.input.bytes.clear();
        (buffers.input.start, buffers.input.searched) = (0, 0);
        buffers.output.clear();
        buffers.writes.clear();
        let mut spare = self.spare();
        if spare.len() < MOST_KEPT {
            spare.push(buffers);
        }
    }

    #[expect(clippy::vec_box, reason = "as above")]
    fn spare(&self) -> MutexGuard<'_, Vec<Box<Buffers>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
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
        let pool = Pool::default();
        let mut used = pool.take();
        used.input = input(b"secret\nmore");
        assert_eq!(used.input.line(99), Line::Complete(b"secret"));
        used.output.push(1);
        pool.give(used);
        let mut again = pool.take();
        assert!(again.input.is_empty() && again.output.is_empty());
        assert_eq!(again.input.line(9), Line::Partial);
        again.output.reserve(LARGEST_KEPT + 1);
        pool.give(again);
        assert!(pool.spare().is_empty());
    }
}
