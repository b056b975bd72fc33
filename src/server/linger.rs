//! Closing in a way that lets the last line arrive.
//!
//! A socket that is closed while the client's input is unread, or before it comes in, answers with a
//! reset, and a reset can destroy the line that was sent before it. So the sending side is shut, and the
//! socket is kept until the client has closed its side: for [`LONGEST`], and at most
//! [`MAX_LINGERING`] of them; beyond that they are closed at once. Those of connections that the server ends in
//! good order are all kept, as many as there were: no client can make them more.
//!
//! There is no task, no timer and no readiness registration per socket: whoever adds a socket looks after
//! two that have waited longest, and the sweep after all. Each worker has its own; only their number is
//! known to all.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// How many sockets linger at once, at most, of clients that were refused. The descriptors are to be reckoned
/// with.
pub const MAX_LINGERING: usize = 1024;

/// How long a client may take to close its side.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// As long as fewer are waiting there is no hurry, and those added last are hardly done yet.
const UNHURRIED: usize = 128;

/// What is read from one socket before the others get their turn: this many times 4 KiB.
const READS_A_TURN: usize = 16;

/// Sockets whose sending side is shut, waiting for the client's end of file.
#[derive(Debug)]
pub(super) struct Linger {
    waiting: VecDeque<Lingering>,
    /// Those of all workers.
    count: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lingering {
    socket: OwnedFd,
    until: Instant,
}

impl Linger {
    /// Nothing, counted in `count`.
    pub(super) fn new(count: Arc<AtomicUsize>) -> Self {
        Self { waiting: VecDeque::new(), count }
    }

    /// Sends a last line and closes the socket as soon as the client has seen it.
    ///
    /// Never waits: a socket whose send buffer is full loses the line.
    pub(super) fn farewell(&mut self, socket: OwnedFd, line: &[u8], now: Instant) {
        // Announcing more makes the line and the end of file travel in one segment.
        if send(&socket, line, SendFlags::NOSIGNAL | SendFlags::MORE).is_ok()
            && shutdown(&socket, Shutdown::Write).is_ok()
        {
            self.keep(socket, now);
        }
    }

    /// Closes a socket, whose sending side is shut, as soon as the client has seen all that was sent.
    pub(super) fn keep(&mut self, socket: OwnedFd, now: Instant) {
        if self.waiting.len() >= UNHURRIED {
            self.look_after(2, now);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < MAX_LINGERING {
            self.waiting.push_back(Lingering { socket, until: now + LONGEST });
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends a connection in good order: closes its socket as soon as the client has seen all that was sent. It
    /// needs no descriptor that the connection did not have, so there is no bound on how many they are.
    pub(super) fn end(&mut self, socket: OwnedFd, now: Instant) {
        // If it fails, the connection is gone.
        if shutdown(&socket, Shutdown::Write).is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.waiting.push_back(Lingering { socket, until: now + LONGEST });
        }
    }

    /// Whether nothing lingers here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Looks after all sockets.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.look_after(self.waiting.len(), now);
    }

    /// Closes those of the oldest that are done, and puts the others at the end of the queue.
    fn look_after(&mut self, oldest: usize, now: Instant) {
        for _ in 0..oldest {
            let Some(lingering) = self.waiting.pop_front() else { return };
            if lingering.is_done(now) {
                drop(lingering);
                self.count.fetch_sub(1, Ordering::Relaxed);
            } else {
                self.waiting.push_back(lingering);
            }
        }
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        self.count.fetch_sub(self.waiting.len(), Ordering::Relaxed);
    }
}

impl Lingering {
    /// Throws away what has come in, and says whether the socket can be closed.
    fn is_done(&self, now: Instant) -> bool {
        let mut discarded = [MaybeUninit::<u8>::uninit(); 4096];
        for _ in 0..READS_A_TURN {
            match recv(&self.socket, &mut discarded, RecvFlags::empty()) {
                Ok((_, 0)) => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return true,
            }
        }
        now >= self.until
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pairs(number: usize) -> (Vec<UnixStream>, Vec<OwnedFd>) {
        let pair = || {
            let (client, socket) = UnixStream::pair().unwrap();
            socket.set_nonblocking(true).unwrap();
            (client, socket.into())
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

        clients.truncate(5);
        linger.sweep(now);
        assert_eq!(count.load(Ordering::Relaxed), 5, "the others have hung up");
        linger.sweep(now + LONGEST);
        assert!(linger.is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
