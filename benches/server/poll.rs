//! Waits for many sockets at once. Edge-triggered: each event is reported once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Events taken with one system call.
const BATCH: usize = 1024;

/// The watched sockets.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    /// From now on [`Self::wait`] reports `token` when the socket is readable or writable. A closed socket is
    /// forgotten.
    pub(crate) fn add(&self, socket: impl AsFd, token: usize) -> io::Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), interest)?)
    }

    /// The tokens of the sockets with events, at most `max_wait` later.
    pub(crate) fn wait(&mut self, max_wait: Duration) -> io::Result<impl Iterator<Item = usize> + '_> {
        let max_wait =
            Timespec { tv_sec: max_wait.as_secs() as i64, tv_nsec: max_wait.subsec_nanos().into() };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&max_wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| event.data.u64() as usize))
    }
}
