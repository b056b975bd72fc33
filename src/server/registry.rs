//! All open connections, with what is needed to end them from outside.
//!
//! The lock is taken when a connection comes or goes and when all are walked, never for a request. What
//! a session is doing is one atomic state, which it sets itself; to end a connection the walker moves
//! the state from a waiting one to [`State::Ending`] and shuts the socket, which wakes the session.
//! A session that has begun to work on a request is therefore never ended under its hands.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, Shutdown, send};
use slab::Slab;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::buffers::{Fill, Input};
use super::{ClientSettings, Shared};

/// The grain of the coarse clock.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// How long a client may read nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections are looked at before others may take the lock.
const STRIDE: usize = 1024;

/// The open connections and the clock they are measured with.
#[derive(Debug)]
pub(super) struct Registry {
    open: Mutex<Slab<Arc<Connection>>>,
    started: Instant,
    /// In ticks. Advanced by the sweep, so that sessions need not ask the system for the time.
    clock: AtomicU32,
    draining: AtomicBool,
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    /// Since when the client has kept the session waiting, in ticks: since it connected until it has logged
    /// in, then since its last request or the first byte of the next.
    since: AtomicU32,
    state: AtomicU8,
    /// Requests so far, the login included.
    pub(super) requests: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

/// A connection's place in the registry. Dropping it takes the connection out.
pub(super) struct Registered {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    key: usize,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Waits for the login line.
    LoggingIn,
    /// Waits for a request or the rest of one.
    Idle,
    /// Works on requests.
    Busy,
    /// Waits until the client reads.
    Writing,
    /// Has been ended from outside.
    Ending,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::default(),
            started: Instant::now(),
            clock: AtomicU32::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// Sets the coarse clock.
    pub(super) fn advance_clock(&self) {
        self.clock.store(ticks(self.started.elapsed()), Ordering::Relaxed);
    }

    /// Ends what has waited too long.
    pub(super) fn end_overdue(&self, settings: &ClientSettings) {
        let now = self.now();
        self.each(|connection| {
            let waited = now.saturating_sub(connection.since.load(Ordering::Relaxed));
            let (state, longest) = match connection.state.load(Ordering::Relaxed) {
                state if state == State::LoggingIn as u8 => (State::LoggingIn, Some(settings.login_timeout)),
                state if state == State::Idle as u8 => (State::Idle, settings.idle_timeout),
                state if state == State::Writing as u8 => (State::Writing, Some(WRITE_TIMEOUT)),
                _ => return,
            };
            // A tick may have been nearly over when the waiting began: one more, so that nobody is early.
            if longest.is_some_and(|longest| waited > ticks(longest)) && connection.end(state) {
                tracing::debug!(peer = %connection.peer, ?state, "the client took too long");
            }
        });
    }

    /// Ends what is waiting for input, now and from now on.
    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.each(|connection| {
            let _ended = connection.end(State::LoggingIn) || connection.end(State::Idle);
        });
    }

    /// Shuts every connection, whatever it is doing. Returns how many there were.
    pub(super) fn cut_all(&self) -> usize {
        let mut cut = 0;
        self.each(|connection| {
            connection.shut();
            cut += 1;
        });
        cut
    }

    fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Walks all connections in strides, so that a long walk holds up nobody.
    fn each(&self, mut visit: impl FnMut(&Connection)) {
        let mut next = 0;
        loop {
            let open = self.open();
            let end = open.capacity();
            for key in next..end.min(next + STRIDE) {
                if let Some(connection) = open.get(key) {
                    visit(connection);
                }
            }
            next += STRIDE;
            if next >= end {
                return;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Slab<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// Enters a connection that has just been accepted.
    pub(super) fn new(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr) -> Self {
        let connection = Arc::new(Connection {
            socket,
            peer,
            since: AtomicU32::new(shared.registry.now()),
            state: AtomicU8::new(State::LoggingIn as u8),
            requests: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        });
        let key = shared.registry.open().insert(Arc::clone(&connection));
        Self { shared, connection, key }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Begins to work on input. `false` if the connection has been ended meanwhile.
    pub(super) fn begin(&self) -> bool {
        self.connection.state.swap(State::Busy as u8, Ordering::AcqRel) != State::Ending as u8
    }

    /// Waits: for a login or input, or until the client reads. The time is reckoned from now, or goes on
    /// from before. `false` if the server is draining and the session is to end instead.
    pub(super) fn wait(&self, state: State, from_now: bool) -> bool {
        if from_now {
            self.connection.since.store(self.shared.registry.now(), Ordering::Relaxed);
        }
        // Either this sees that draining has started, or the drain sees this state.
        self.connection.state.store(state as u8, Ordering::SeqCst);
        state == State::Writing || !self.shared.registry.draining.load(Ordering::SeqCst)
    }

    /// Takes the connection out and hands over its socket.
    pub(super) fn into_socket(self) -> Option<OwnedFd> {
        let connection = Arc::clone(&self.connection);
        drop(self);
        // Nobody keeps a connection beyond the lock, so this was the last handle.
        let socket = Arc::into_inner(connection)?.socket.into_std().ok()?;
        Some(socket.into())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        drop(self.shared.registry.open().remove(self.key));
    }
}

impl Connection {
    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Reads once, without waiting.
    pub(super) fn read(&self, input: &mut Input) -> Fill {
        let mut fill = Fill::Nothing;
        let _cleared = self.socket.try_io(Interest::READABLE, || {
            fill = input.fill(&self.socket);
            match fill {
                // Less came than there was room for, so the socket is drained: calling that "would block"
                // clears the readiness seen before the read, and saves a read that finds nothing.
                Fill::Drained | Fill::Nothing => Err(io::ErrorKind::WouldBlock.into()),
                Fill::More | Fill::Closed => Ok(()),
            }
        });
        fill
    }

    /// Sends what fits, without waiting. `more` announces that more, or the end of file, follows at once.
    pub(super) fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = if more { SendFlags::MORE } else { SendFlags::empty() };
        Ok(send(&self.socket, bytes, SendFlags::NOSIGNAL | flags)?)
    }

    /// Waits until the client has made room, then sends what fits.
    pub(super) async fn send_patiently(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.socket.async_io(Interest::WRITABLE, || self.send(bytes, more)).await
    }

    /// Ends the answers: the client reads an end of file after all that was sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket, Shutdown::Write)?)
    }

    /// Adds to a counter that only this connection's session writes.
    pub(super) fn add(counter: &AtomicU64, amount: usize) {
        counter.store(counter.load(Ordering::Relaxed) + amount as u64, Ordering::Relaxed);
    }

    /// Ends the connection if it is in this waiting state.
    fn end(&self, waiting: State) -> bool {
        let ended = self
            .state
            .compare_exchange(waiting as u8, State::Ending as u8, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if ended {
            self.shut();
        }
        ended
    }

    /// Shuts the socket in both directions, which wakes its session.
    fn shut(&self) {
        if let Err(error) = rustix::net::shutdown(&self.socket, Shutdown::Both) {
            // The client was faster; its session is about to find out.
            tracing::trace!(peer = %self.peer, %error, "cannot shut a connection");
        }
    }
}

fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX)
}
