//! Closes sockets in a way that lets the last line arrive.
//!
//! A socket that is closed while the client's input is unread, or before it arrives, answers with a reset, and a reset
//! can destroy the line that was sent before it. So the sending side is shut, and the socket is kept until the client
//! has closed its side: as long as the client has sent something within [`LONGEST`], but not for ever, and at most
//! [`MAX_LINGERING`] of them: beyond that, each new one cuts off the oldest. Sockets of connections that the server
//! ends in good order are all kept, however many there were: no client can add to them. When descriptors are short, the
//! oldest of all are [cut off](Linger::cut): slow closers hold up no other client.
//!
//! There is no task, no timer and no readiness registration per socket: adding a socket checks the two that have waited
//! longest, and the sweep checks all. Sockets found to be sending are checked more often, so that a client which reads
//! only after it has sent everything reaches that point. Each worker has its own list; only the total number is shared.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::transport::{Then, Transport};

/// The most sockets of refused clients that linger at once. The descriptor count must allow for them.
pub const MAX_LINGERING: usize = 1024;

/// How long a client may neither send anything nor close its side.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// How long a client that had a place may send, and how much: its socket is not kept for ever. A client that never had
/// a place must make room for the next rejected one.
const LONGEST_IN_ALL: Duration = Duration::from_secs(10);
const MOST_IN_ALL: usize = 64 << 20;

/// The pause before sockets that are sending are checked again.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// Below this number of waiting sockets there is no hurry, and those added last are hardly done yet.
const UNHURRIED: usize = 128;

/// How much is read at once, and how often from one socket before the others get their turn.
const READ: usize = 32 * 1024;
const READS_A_TURN: usize = 8;

/// How many sending sockets are checked at once. The others get their turn after the next pause.
const BUSY_A_TURN: usize = 16;

/// Sockets whose sending side is shut, waiting for the client's end of file.
#[derive(Debug)]
pub(super) struct Linger {
    waiting: VecDeque<Lingering>,
    /// Sockets that had sent something when they were last checked.
    busy: VecDeque<Lingering>,
    /// The number of lingering sockets of all workers.
    count: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lingering {
    transport: Transport,
    /// When the socket is closed if nothing arrives.
    until: Instant,
    /// When the socket is closed in any case.
    end: Instant,
    /// How much may still arrive.
    left: usize,
}

/// The result of checking a socket.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// The client has closed its side, or has taken too long.
    Done,
    /// It has sent something.
    Busy,
    /// It has sent nothing.
    Quiet,
}

impl Linger {
    /// An empty list, counted in `count`.
    pub(super) fn new(count: Arc<AtomicUsize>) -> Self {
        Self { waiting: VecDeque::new(), busy: VecDeque::new(), count }
    }

    /// Sends a last line and closes the socket as soon as the client has read it.
    ///
    /// Never waits: a socket whose send buffer is full loses the line.
    pub(super) fn farewell(&mut self, transport: Transport, line: &[u8], now: Instant) {
        if transport.write(line, Then::End).is_ok() && transport.end().is_ok() {
            self.keep_for(LONGEST, transport, now);
        }
    }

    /// Closes a socket whose sending side is shut, as soon as the client has read everything.
    pub(super) fn keep(&mut self, transport: Transport, now: Instant) {
        self.keep_for(LONGEST_IN_ALL, transport, now);
    }

    fn keep_for(&mut self, longest: Duration, transport: Transport, now: Instant) {
        if self.waiting.len() >= UNHURRIED {
            self.look_after(2, now);
        }
        // If this worker has none to cut off, other workers have them all.
        if self.count.load(Ordering::Relaxed) < MAX_LINGERING || self.cut(now) {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.waiting.push_back(Lingering::new(longest, transport, now));
        }
    }

    /// Closes the socket that was checked the longest ago. `false` if there is none.
    pub(super) fn cut(&mut self, now: Instant) -> bool {
        let Some(mut lingering) = self.waiting.pop_front().or_else(|| self.busy.pop_front()) else {
            return false;
        };
        // With nothing left to read, closing sends no reset that could destroy the last line.
        lingering.look(now);
        drop(lingering);
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Ends a connection in good order: closes its socket as soon as the client has read everything. This needs no
    /// descriptor that the connection did not have, so their number is not bounded.
    pub(super) fn end(&mut self, transport: Transport, now: Instant) {
        // If it fails, the connection is gone.
        if transport.end().is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.waiting.push_back(Lingering::new(LONGEST_IN_ALL, transport, now));
        }
    }

    /// Whether no socket lingers here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_empty()
    }

    /// Whether some are sending and must be checked again soon.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Checks all sockets, but only some of those that are sending.
    pub(super) fn sweep(&mut self, now: Instant) {
        // Counted before others join them, so that none is checked twice.
        let waiting = self.waiting.len();
        self.look_after_busy(now);
        self.look_after(waiting, now);
    }

    /// Checks some of those that are sending.
    pub(super) fn look_after_busy(&mut self, now: Instant) {
        for _ in 0..self.busy.len().min(BUSY_A_TURN) {
            let Some(lingering) = self.busy.pop_front() else { return };
            self.look_at(lingering, now);
        }
    }

    /// Closes the finished ones among the oldest, and puts the others at the end of the queue.
    fn look_after(&mut self, oldest: usize, now: Instant) {
        for _ in 0..oldest {
            let Some(lingering) = self.waiting.pop_front() else { return };
            self.look_at(lingering, now);
        }
    }

    fn look_at(&mut self, mut lingering: Lingering, now: Instant) {
        match lingering.look(now) {
            Look::Done => {
                drop(lingering);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            Look::Busy => self.busy.push_back(lingering),
            Look::Quiet => self.waiting.push_back(lingering),
        }
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        self.count.fetch_sub(self.waiting.len() + self.busy.len(), Ordering::Relaxed);
    }
}

impl Lingering {
    fn new(longest: Duration, transport: Transport, now: Instant) -> Self {
        Self { transport, until: now + LONGEST, end: now + longest, left: MOST_IN_ALL }
    }

    /// Discards the input that has arrived.
    fn look(&mut self, now: Instant) -> Look {
        let mut discarded = [MaybeUninit::<u8>::uninit(); READ];
        let before = self.left;
        for _ in 0..READS_A_TURN {
            match self.transport.discard(&mut discarded) {
                Ok(0) => return Look::Done,
                Ok(read) => self.left = self.left.saturating_sub(read),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Look::Done,
            }
        }
        let is_busy = self.left < before;
        if is_busy {
            self.until = self.end.min(now + LONGEST);
        }
        if now >= self.until || self.left == 0 {
            Look::Done
        } else if is_busy {
            Look::Busy
        } else {
            Look::Quiet
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pairs(number: usize) -> (Vec<UnixStream>, Vec<Transport>) {
        let pair = || {
            let (client, socket) = UnixStream::pair().unwrap();
            socket.set_nonblocking(true).unwrap();
            (client, OwnedFd::from(socket).into())
        };
        (0..number).map(|_| pair()).unzip()
    }

    #[test]
    fn of_the_refused_some_linger_and_of_the_ended_all() {
        let (now, count) = (Instant::now(), Arc::default());
        let mut linger = Linger::new(Arc::clone(&count));
        let (mut clients, sockets) = pairs(MAX_LINGERING + 10);
        sockets.into_iter().for_each(|socket| linger.farewell(socket, b"no", now));
        assert_eq!(count.load(Ordering::Relaxed), MAX_LINGERING);
        let (more, sockets) = pairs(10);
        clients.extend(more);
        sockets.into_iter().for_each(|socket| linger.end(socket, now));
        assert_eq!(count.load(Ordering::Relaxed), MAX_LINGERING + 10);
        // The newest cut off others, and all of them received the last line.
        let mut text = Vec::new();
        clients[0].read_to_end(&mut text).unwrap();
        assert_eq!(text, b"no");
        let is_closed = |at: &usize| (&clients[*at]).write(b"x").is_err();
        let closed: Vec<_> = (0..clients.len()).filter(is_closed).collect();
        assert_eq!(closed.len(), 10);
        assert!(closed.iter().all(|at| *at < MAX_LINGERING), "the newest were cut off: {closed:?}");

        clients.drain(..10);
        clients.truncate(5);
        linger.sweep(now);
        assert_eq!(count.load(Ordering::Relaxed), 5, "the others have hung up");
        linger.sweep(now + LONGEST);
        assert!(linger.is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_is_sending_is_looked_after_and_not_for_ever() {
        let now = Instant::now();
        let mut linger = Linger::new(Arc::default());
        let (clients, sockets) = pairs(1);
        sockets.into_iter().for_each(|socket| linger.end(socket, now));
        let mut later = now;
        while later < now + LONGEST_IN_ALL {
            (&clients[0]).write_all(b"more").unwrap();
            linger.sweep(later);
            assert!(linger.is_busy());
            later += LONGEST;
            linger.look_after_busy(later - LONGEST / 2);
            assert!(!linger.is_busy() && !linger.is_empty());
        }
        (&clients[0]).write_all(b"more").unwrap();
        linger.sweep(later);
        assert!(linger.is_empty());

        let (clients, sockets) = pairs(1);
        sockets.into_iter().for_each(|socket| linger.end(socket, now));
        clients[0].set_nonblocking(true).unwrap();
        let mut sent = 0;
        while !linger.is_empty() {
            while let Ok(more) = (&clients[0]).write(&[0; 64 * 1024]) {
                sent += more;
            }
            linger.sweep(now);
            assert!(sent <= 2 * MOST_IN_ALL, "it is never ended");
        }
        assert!(sent >= MOST_IN_ALL, "{sent} bytes");
    }
}
