//! Closing in a way that lets the last line arrive.
//!
//! A socket that is closed while the client's input is unread, or before it comes in, answers with a
//! reset, and a reset can destroy the line that was sent before it. So the sending side is shut, and the
//! socket is kept until the client has closed its side: as long as it has sent something within [`LONGEST`],
//! though not for ever, and at most [`MAX_LINGERING`] of them: then each new one cuts the oldest off. Those of
//! connections that the server ends in good order are all kept, as many as there were: no client can make them
//! more. When descriptors are short, the oldest of all are [cut off](Linger::cut): nobody waits for those who
//! are slow to close.
//!
//! There is no task, no timer and no readiness registration per socket: whoever adds a socket looks after
//! two that have waited longest, and the sweep after all. Those that were found to be sending are looked after
//! more often, so that a client which reads only when it has sent all comes to that. Each worker has its own;
//! only their number is known to all.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::transport::{Then, Transport};

/// How many sockets linger at once, at most, of clients that were refused. The descriptors are to be reckoned
/// with.
pub const MAX_LINGERING: usize = 1024;

/// How long a client may send nothing and not close its side either.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// How long it may send, and how much, if it had a place: it is not to be had for ever. Who never had one is to
/// make room for the next that is turned away.
const LONGEST_IN_ALL: Duration = Duration::from_secs(10);
const MOST_IN_ALL: usize = 64 << 20;

/// Until those that are sending are looked after again.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// As long as fewer are waiting there is no hurry, and those added last are hardly done yet.
const UNHURRIED: usize = 128;

/// What is read at once, and how often from one socket before the others get their turn.
const READ: usize = 32 * 1024;
const READS_A_TURN: usize = 8;

/// How many of those that are sending are looked after at once. The others get their turn after the next pause.
const BUSY_A_TURN: usize = 16;

/// Sockets whose sending side is shut, waiting for the client's end of file.
#[derive(Debug)]
pub(super) struct Linger {
    waiting: VecDeque<Lingering>,
    /// Those that had sent something when they were last looked after.
    busy: VecDeque<Lingering>,
    /// Those of all workers.
    count: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lingering {
    transport: Transport,
    /// When it is closed if nothing comes in.
    until: Instant,
    /// When it is closed in any case.
    end: Instant,
    /// How much may still come in.
    left: usize,
}

/// What a look after a socket has shown.
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
    /// Nothing, counted in `count`.
    pub(super) fn new(count: Arc<AtomicUsize>) -> Self {
        Self { waiting: VecDeque::new(), busy: VecDeque::new(), count }
    }

    /// Sends a last line and closes the socket as soon as the client has seen it.
    ///
    /// Never waits: a socket whose send buffer is full loses the line.
    pub(super) fn farewell(&mut self, transport: Transport, line: &[u8], now: Instant) {
        if transport.write(line, Then::End).is_ok() && transport.end().is_ok() {
            self.keep_for(LONGEST, transport, now);
        }
    }

    /// Closes a socket, whose sending side is shut, as soon as the client has seen all that was sent.
    pub(super) fn keep(&mut self, transport: Transport, now: Instant) {
        self.keep_for(LONGEST_IN_ALL, transport, now);
    }

    fn keep_for(&mut self, longest: Duration, transport: Transport, now: Instant) {
        if self.waiting.len() >= UNHURRIED {
            self.look_after(2, now);
        }
        // Without one here that could make room, other workers have them all.
        if self.count.load(Ordering::Relaxed) < MAX_LINGERING || self.cut(now) {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.waiting.push_back(Lingering::new(longest, transport, now));
        }
    }

    /// Closes the socket that was looked after the longest ago. `false` if there is none.
    pub(super) fn cut(&mut self, now: Instant) -> bool {
        let Some(mut lingering) = self.waiting.pop_front().or_else(|| self.busy.pop_front()) else {
            return false;
        };
        // With nothing left to read, closing sends no reset, which could destroy the last line.
        lingering.look(now);
        drop(lingering);
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Ends a connection in good order: closes its socket as soon as the client has seen all that was sent. It
    /// needs no descriptor that the connection did not have, so there is no bound on how many they are.
    pub(super) fn end(&mut self, transport: Transport, now: Instant) {
        // If it fails, the connection is gone.
        if transport.end().is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.waiting.push_back(Lingering::new(LONGEST_IN_ALL, transport, now));
        }
    }

    /// Whether nothing lingers here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_empty()
    }

    /// Whether some are sending, and not to be left alone for long.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Looks after all sockets, though not all that are sending.
    pub(super) fn sweep(&mut self, now: Instant) {
        // Counted before others join them, so that none is looked at twice.
        let waiting = self.waiting.len();
        self.look_after_busy(now);
        self.look_after(waiting, now);
    }

    /// Looks after some of those that are sending.
    pub(super) fn look_after_busy(&mut self, now: Instant) {
        for _ in 0..self.busy.len().min(BUSY_A_TURN) {
            let Some(lingering) = self.busy.pop_front() else { return };
            self.look_at(lingering, now);
        }
    }

    /// Closes those of the oldest that are done, and puts the others at the end of the queue.
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

    /// Throws away what has come in.
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
        // Others were cut off for the newest, and all of them have been told.
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
