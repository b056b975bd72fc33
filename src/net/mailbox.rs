//! A queue of messages to a thread that waits for a [`Readiness`](super::readiness::Readiness). It does not know their
//! meaning.
//!
//! A busy thread is not woken: it checks its mailbox before it waits. So a hundred messages that arrive together cost
//! one wake-up. Its tests are in `tests/library/interleavings/`.

use std::io;

use super::readiness::Waker;
use super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, Unpoisoned};

/// A worker's mailbox.
pub(super) struct Mailbox<M> {
    inbox: Mutex<Inbox<M>>,
    waker: Waker,
    /// Connections that its worker has, or will soon have.
    load: AtomicUsize,
}

struct Inbox<M> {
    messages: Vec<M>,
    /// Its worker waits, or will soon.
    asleep: bool,
    /// Its worker has ended.
    closed: bool,
}

impl<M> Mailbox<M> {
    pub(super) fn new() -> io::Result<Self> {
        let inbox = Inbox { messages: Vec::new(), asleep: false, closed: false };
        Ok(Self { inbox: Mutex::new(inbox), waker: Waker::new()?, load: AtomicUsize::new(0) })
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Runs something while the worker reads no message, and returns a message that it reads first afterwards.
    #[cfg(test)]
    pub(super) fn send_after(&self, meanwhile: impl FnOnce(), message: M) {
        let mut inbox = self.inbox();
        meanwhile();
        inbox.messages.push(message);
        drop(inbox);
        self.waker.wake();
    }

    /// Sends a message. It is dropped if the worker has ended, which breaks any promise in it.
    pub(super) fn send(&self, message: M) {
        let mut inbox = self.inbox();
        if inbox.closed {
            // Unlocked first: the message's content must not be dropped under the lock.
            drop(inbox);
            return drop(message);
        }
        inbox.messages.push(message);
        let wake = std::mem::take(&mut inbox.asleep);
        drop(inbox);
        if wake {
            self.waker.wake();
        }
    }

    /// Whether the worker may wait. If so, the next message wakes it.
    pub(super) fn fall_asleep(&self) -> bool {
        let mut inbox = self.inbox();
        inbox.asleep = inbox.messages.is_empty();
        inbox.asleep
    }

    /// Swaps the messages with the empty `read`.
    pub(super) fn take(&self, read: &mut Vec<M>) {
        let mut inbox = self.inbox();
        inbox.asleep = false;
        std::mem::swap(&mut inbox.messages, read);
    }

    /// Drops all messages, including later ones: no thread will read them, and callers that wait for an answer must
    /// notice.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.closed = true;
        let unread = std::mem::take(&mut inbox.messages);
        drop(inbox);
        drop(unread);
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(super) fn add_load(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_load(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<M>> {
        self.inbox.lock().unpoisoned()
    }
}
