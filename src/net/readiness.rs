//! Which sockets are ready: one epoll instance, and a way to wake the thread that waits for it.
//!
//! Clients are watched for edges: an event reports new input once, so that no socket has to be rearmed for each
//! request. The receiver of an event reads until the socket is drained. The listener is watched for its level: the
//! worker accepts a batch, gives all connections their turn, and the next wait reports what is left.
//!
//! Why this is not mio, which tokio depends on anyway: mio registers every source for edges, so the worker would have
//! to remember that its last batch was not the last, and look again after every pause in accepting. mio offers the rest
//! that the loop uses: `EPOLLRDHUP`, a waker that needs no reading, 256 events at once, timeouts in milliseconds. But
//! each of these is one call of `rustix` here, so mio would make this file little shorter. The server does not need
//! mio's support for systems other than Linux; nor does it need `EPOLLEXCLUSIVE` and timers, since one worker accepts
//! and [ticks](super::ticks) decide deadlines.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Input and room to send, for edges.
const BOTH: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

/// A set of watched sockets.
#[derive(Debug)]
pub(super) struct Readiness {
    epoll: OwnedFd,
}

/// The result of a wait.
pub(super) struct Events {
    events: Vec<epoll::Event>,
    /// A signal ended the wait, so the result means nothing.
    interrupted: bool,
}

/// An event on the source that is watched as `key`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) key: u64,
    pub(super) ready: Ready,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The other side has ended its half, or the connection is broken: reading shows which.
    pub hung_up: bool,
    /// There is something to read, possibly the end of file.
    pub readable: bool,
}

/// Wakes the thread that waits for a [`Readiness`].
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Readiness {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Reports new input, once each time.
    pub(super) fn watch(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key), flags)?)
    }

    /// Reports new room to send as well, once each time.
    pub(super) fn watch_for_room(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(key), BOTH)?)
    }

    /// Reports new input and new room to send, once each time.
    pub(super) fn watch_both(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key), BOTH)?)
    }

    /// Reports for as long as there are connections to accept.
    pub(super) fn watch_listener(&self, listener: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, listener, EventData::new_u64(key), EventFlags::IN)?)
    }

    /// Stops reporting.
    pub(super) fn forget(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits for events, at most for `longest`.
    pub(super) fn wait(&self, events: &mut Events, longest: Option<Duration>) -> io::Result<()> {
        let timeout = longest.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        events.events.clear();
        let waited = epoll::wait(&self.epoll, spare_capacity(&mut events.events), timeout.as_ref());
        events.interrupted = waited == Err(Errno::INTR);
        match waited {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Events {
    pub(super) fn new() -> Self {
        Self { events: Vec::with_capacity(EVENTS), interrupted: false }
    }

    /// The most events that a wait returns.
    pub(super) fn most(&self) -> usize {
        self.events.capacity()
    }

    /// Whether there may be more events than the wait has returned.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.most()
    }

    /// Whether these are all events.
    pub(super) fn are_all(&self) -> bool {
        !self.interrupted && !self.is_full()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        const BROKEN: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
        self.events.iter().map(|event| {
            let flags = event.flags;
            Event {
                key: event.data.u64(),
                ready: Ready {
                    hung_up: flags.intersects(BROKEN),
                    readable: flags.intersects(EventFlags::IN.union(BROKEN)),
                },
            }
        })
    }
}

impl Waker {
    /// A waker that shows up as an event with `key`.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(super) fn register(&self, readiness: &Readiness, key: u64) -> io::Result<()> {
        // For edges, too: it need not be read to wake again.
        readiness.watch(&self.0, key)
    }

    pub(super) fn wake(&self) {
        // It fails only when the counter is full, after 2^64 wake-ups.
        if let Err(error) = rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            tracing::error!(%error, "cannot wake a thread of the server: {error}");
        }
    }
}
