//! Input from a client that its session has not handled yet.

use rustix::io::Errno;

use super::endings::Ending;
use super::transport::Transport;

/// The initial room for input. Larger requests grow it.
pub(super) const READ_ROOM: usize = 16 * 1024;

/// Room that a waiting connection may keep without need.
pub(super) const SPARE_ROOM: usize = 256;

/// Bytes read from a client.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// Where the unconsumed bytes start.
    start: usize,
    /// How far the session has searched them in vain.
    searched: usize,
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
    /// There is the beginning of a request, of which nothing was read: at least this many bytes.
    Unfinished(usize),
    /// The client will send no more, or the connection is broken.
    Closed(Ending),
}

impl Input {
    /// Reads once.
    pub(super) fn fill(&mut self, transport: &Transport) -> Fill {
        self.settle();
        if self.bytes.capacity() - self.bytes.len() < READ_ROOM / 2 {
            self.bytes.reserve(READ_ROOM);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        match transport.read(&mut self.bytes) {
            Ok(0) => Fill::Closed(Ending::Client),
            Ok(read) if read < room => Fill::Drained,
            Ok(_) => Fill::More,
            Err(Errno::AGAIN) => Fill::Nothing,
            Err(error) => Fill::Closed(Ending::of(error)),
        }
    }

    /// Reads requests that have arrived completely, and nothing else. `end` finds the end of the last or the first of
    /// them in the arrived bytes.
    pub(super) fn fill_whole(
        &mut self,
        transport: &Transport,
        end: impl FnOnce(&[u8]) -> Option<usize>,
    ) -> Fill {
        self.settle();
        if self.bytes.capacity() - self.bytes.len() < READ_ROOM {
            self.bytes.reserve(READ_ROOM);
        }
        let before = self.bytes.len();
        let there = match transport.peek(&mut self.bytes) {
            Ok(0) => return Fill::Closed(Ending::Client),
            Ok(there) => there,
            Err(Errno::AGAIN) => return Fill::Nothing,
            Err(error) => return Fill::Closed(Ending::of(error)),
        };
        let Some(end) = end(&self.bytes[before..]) else {
            self.bytes.truncate(before);
            return Fill::Unfinished(there);
        };
        self.bytes.truncate(before + end);
        // The same bytes again, now consumed from the socket.
        match transport.read_peeked(&mut self.bytes[before..]) {
            Ok(read) => {
                self.bytes.truncate(before + read);
                Fill::More
            }
            Err(error) => {
                self.bytes.truncate(before);
                Fill::Closed(Ending::of(error))
            }
        }
    }

    /// The unconsumed bytes.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many of the pending bytes were [searched](Input::set_searched) in vain.
    pub(crate) fn searched(&self) -> usize {
        self.searched - self.start
    }

    /// Records that the first `pending` bytes contain no end of a request, so that a request that arrives byte by byte
    /// is not searched again and again.
    pub(crate) fn set_searched(&mut self, pending: usize) {
        self.searched = self.start + pending;
    }

    /// Removes the first `pending` bytes. The others are still to be searched.
    pub(crate) fn consume(&mut self, pending: usize) {
        self.start += pending;
        self.searched = self.start;
    }

    /// Frees the room of a large request, which is held elsewhere now.
    pub(crate) fn compact_if_large(&mut self) {
        if self.bytes.capacity() > 2 * READ_ROOM {
            self.compact();
        }
    }

    /// Whether all bytes are consumed.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// How many bytes are unconsumed.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// How many bytes it holds.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.start, self.searched) = (0, 0);
    }

    /// Frees most of the unused room.
    pub(super) fn compact(&mut self) {
        self.settle();
        if self.bytes.capacity() > 2 * self.bytes.len() + SPARE_ROOM {
            self.bytes.shrink_to(self.bytes.len() + SPARE_ROOM);
        }
    }

    /// Moves the unconsumed bytes to the beginning. Only a part of a request can be left.
    fn settle(&mut self) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
    }

    /// Adds bytes as if they had been read.
    #[cfg(test)]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, Transport) {
        let (client, socket) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        (client, OwnedFd::from(socket).into())
    }

    #[test]
    fn what_is_consumed_makes_room_and_what_was_searched_stays_so() {
        let (mut client, transport) = pair();
        let mut input = Input::default();
        assert_eq!(input.fill(&transport), Fill::Nothing);
        client.write_all(b"one;tw").unwrap();
        assert_eq!(input.fill(&transport), Fill::Drained);
        input.consume(4);
        input.set_searched(2);
        client.write_all(b"o;").unwrap();
        assert_eq!(input.fill(&transport), Fill::Drained);
        assert_eq!((input.pending(), input.searched(), input.len()), (&b"two;"[..], 2, 4));
        input.consume(4);
        assert!(input.is_empty());
        drop(client);
        assert_eq!(input.fill(&transport), Fill::Closed(Ending::Client));
    }

    #[test]
    fn of_a_beginning_nothing_is_read() {
        let (mut client, transport) = pair();
        let mut input = Input::default();
        let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b';').map(|at| at + 1);
        client.write_all(b"on").unwrap();
        assert_eq!(input.fill_whole(&transport, end), Fill::Unfinished(2));
        assert!(input.is_empty());
        client.write_all(b"e;two;thr").unwrap();
        assert_eq!(input.fill_whole(&transport, end), Fill::More);
        assert_eq!(input.pending(), b"one;two;");
        assert_eq!(input.fill_whole(&transport, end), Fill::Unfinished(3));
    }
}
