//! Closing in a way that lets the last line arrive.
//!
//! A socket that is closed while the client's input is unread, or before it comes in, answers with a
//! reset, and a reset can destroy the line that was sent before it. So the sending side is shut, and the
//! socket is kept until the client has closed its side: for [`LONGEST`], and at most
//! [`MAX_LINGERING`] of them; beyond that they are closed at once.
//!
//! There is no task, no timer and no readiness registration per socket: whoever adds a socket looks after
//! two that have waited longest, and the sweep after all.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// How many sockets linger at once, at most. The descriptors are to be reckoned with.
pub const MAX_LINGERING: usize = 1024;

/// How long a client may take to close its side.
const LONGEST: Duration = Duration::from_secs(1);

/// As long as fewer are waiting there is no hurry, and those added last are hardly done yet.
const UNHURRIED: usize = 128;

/// What is read from one socket before the others get their turn: this many times 4 KiB.
const READS_A_TURN: usize = 16;

/// Between two looks at the sockets when nothing else is left to do.
const FINISH_PAUSE: Duration = Duration::from_millis(10);

/// Sockets whose sending side is shut, waiting for the client's end of file.
#[derive(Debug, Default)]
pub(super) struct Linger {
    waiting: Mutex<VecDeque<Lingering>>,
    /// Those in `waiting` and those that somebody is looking after right now.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Lingering {
    socket: OwnedFd,
    until: Instant,
}

impl Linger {
    /// Sends a last line and closes the socket as soon as the client has seen it.
    ///
    /// Never waits: a socket whose send buffer is full loses the line.
    pub(super) fn farewell(&self, socket: OwnedFd, line: &[u8]) {
        // Announcing more makes the line and the end of file travel in one segment.
        if send(&socket, line, SendFlags::NOSIGNAL | SendFlags::MORE).is_ok() {
            self.close(socket);
        }
    }

    /// Closes a socket as soon as the client has seen all that was sent.
    pub(super) fn close(&self, socket: OwnedFd) {
        if shutdown(&socket, Shutdown::Write).is_err() {
            return;
        }
        self.look_after_oldest();
        if self.count.fetch_add(1, Ordering::Relaxed) >= MAX_LINGERING {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.waiting().push_back(Lingering { socket, until: Instant::now() + LONGEST });
    }

    /// How many sockets linger.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Looks after all sockets.
    pub(super) fn sweep(&self) {
        let all = std::mem::take(&mut *self.waiting());
        if !all.is_empty() {
            let now = Instant::now();
            self.look_after(all.into_iter(), now);
        }
    }

    /// Waits until no socket lingers, which is not longer than a lingering close may take.
    pub(super) async fn finish(&self) {
        while self.len() > 0 {
            self.sweep();
            tokio::time::sleep(FINISH_PAUSE).await;
        }
    }

    fn look_after_oldest(&self) {
        let oldest = {
            let mut waiting = self.waiting();
            if waiting.len() < UNHURRIED {
                return;
            }
            [waiting.pop_front(), waiting.pop_front()]
        };
        self.look_after(oldest.into_iter().flatten(), Instant::now());
    }

    /// Closes those that are done, and puts the others at the end of the queue.
    fn look_after(&self, sockets: impl Iterator<Item = Lingering>, now: Instant) {
        for lingering in sockets {
            if lingering.is_done(now) {
                drop(lingering);
                self.count.fetch_sub(1, Ordering::Relaxed);
            } else {
                self.waiting().push_back(lingering);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Lingering>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
