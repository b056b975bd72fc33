//! A client's connection as a stream of bytes. All input from a client and all output to it passes through here, from
//! its first byte to the lingering close.
//!
//! This is the place for encryption: another variant of [`Transport`] keeps its state in a box, decrypts what
//! [`read`](Transport::read) and [`peek`](Transport::peek) return, and encrypts what [`write`](Transport::write)
//! takes. The rest of the server neither reads from nor writes to a client's socket in any other way; it uses the
//! descriptor only to have it [watched](super::readiness).
//!
//! Nothing here waits: the socket is non-blocking. An operation that would block fails with [`Errno::AGAIN`];
//! interruptions by signals are not passed on, except by [`peek_byte`](Transport::peek_byte), whose callers treat them
//! as "nothing there".

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// The encoding of bytes between a client and this server.
#[derive(Debug)]
pub(super) enum Transport {
    /// Unchanged, over TCP.
    Plain(OwnedFd),
}

/// Whether more will be sent after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Perhaps, at some time.
    More,
    /// Only the end of file, at once: both travel in one segment.
    End,
}

impl Transport {
    /// Reads once, into the spare room behind the content. Returns the number of bytes read; 0 is the end.
    pub(super) fn read(&self, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
        self.receive(bytes, RecvFlags::empty())
    }

    /// The same, but leaves the bytes in the socket.
    pub(super) fn peek(&self, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
        self.receive(bytes, RecvFlags::PEEK)
    }

    /// Reads again what was peeked at.
    pub(super) fn read_peeked(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let Self::Plain(socket) = self;
        loop {
            match recv(socket, &mut *bytes, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                read => return read.map(|(_, read)| read),
            }
        }
    }

    /// Discards arrived input, as much as fits into `room`. Returns how much that was; 0 is the end.
    pub(super) fn discard(&self, room: &mut [MaybeUninit<u8>]) -> Result<usize, Errno> {
        let Self::Plain(socket) = self;
        recv(socket, room, RecvFlags::empty()).map(|(_, read)| read)
    }

    /// Whether there is a byte (1) or the end of file (0). Consumes neither.
    pub(super) fn peek_byte(&self) -> Result<usize, Errno> {
        let Self::Plain(socket) = self;
        let mut byte = [MaybeUninit::<u8>::uninit(); 1];
        recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT).map(|(_, read)| read)
    }

    /// Sends as much as there is room for. Returns how much that was.
    pub(super) fn write(&self, bytes: &[u8], then: Then) -> Result<usize, Errno> {
        let Self::Plain(socket) = self;
        let flags = match then {
            Then::More => SendFlags::NOSIGNAL,
            Then::End => SendFlags::NOSIGNAL | SendFlags::MORE,
        };
        loop {
            match send(socket, bytes, flags) {
                Err(Errno::INTR) => {}
                sent => return sent,
            }
        }
    }

    /// Sends the end of file after everything sent so far. The client's side stays open.
    pub(super) fn end(&self) -> Result<(), Errno> {
        let Self::Plain(socket) = self;
        shutdown(socket, Shutdown::Write)
    }

    /// Whether the connection is broken, even if bytes from before are still unread.
    pub(super) fn is_broken(&self) -> bool {
        let Self::Plain(socket) = self;
        let now = Timespec::try_from(Duration::ZERO).ok();
        let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
        poll(&mut polled, now.as_ref()).is_ok()
            && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    fn receive(&self, bytes: &mut Vec<u8>, flags: RecvFlags) -> Result<usize, Errno> {
        let Self::Plain(socket) = self;
        loop {
            match recv(socket, spare_capacity(bytes), flags) {
                Err(Errno::INTR) => {}
                read => return read.map(|(_, read)| read),
            }
        }
    }
}

impl From<OwnedFd> for Transport {
    fn from(socket: OwnedFd) -> Self {
        Self::Plain(socket)
    }
}

/// For watching only.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let Self::Plain(socket) = self;
        socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_transport_is_a_descriptor_and_nothing_more() {
        assert_eq!(size_of::<Transport>(), size_of::<OwnedFd>());
        assert_eq!(size_of::<Option<Transport>>(), size_of::<OwnedFd>());
    }
}
