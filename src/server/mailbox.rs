//! What a worker is told by others: by another worker, by what it has asked for, by the server's owner.
//!
//! A worker that is at work is not woken: it looks into its mailbox before it waits. So a hundred answers
//! that come together cost one waking.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::auth::{Account, LoginError};
use crate::store::{Fetched, Read};

use super::accept::Admitted;
use super::commits::Committed;
use super::counters::RequestOutcome;
use super::probe::Probe;
use super::readiness::Waker;
use super::roster::{ConnectionInfo, Ended};

/// A connection of one worker: where it is kept, and which it is, since places are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) index: u32,
    /// The lower half of the connection's number.
    pub(super) serial: u32,
}

/// What a worker may find in its mailbox.
pub(super) enum Message {
    /// A connection to look after.
    Welcome(Admitted),
    /// What became of the writes of one turn.
    Committed(Committed),
    /// What a connection has waited for.
    Finished(Token, Finished),
    /// A probe, to be passed on and, by the last worker, to be answered.
    Probe(Probe),
    /// Look for connections, and pass it on as a probe.
    Heartbeat(oneshot::Sender<()>),
    /// Take in all hang-ups that have been received, and say so, in this round.
    TakeHangUps(u64),
    /// Another worker has done so.
    HangUpsTaken(u64),
    /// Cut off some who linger: there are no descriptors for the next.
    MakeRoom,
    /// Close the listener. Another process may have it open as well.
    StopAccepting { shared: bool, stopped: oneshot::Sender<()> },
    /// Let connections end, and say when there are none.
    Drain(oneshot::Sender<()>),
    /// End all connections, whatever they are doing, and say how many there were.
    Cut(oneshot::Sender<usize>),
    /// Say who is there.
    List(oneshot::Sender<Vec<ConnectionInfo>>),
    /// End one connection.
    End(u64, oneshot::Sender<Option<Ended>>),
    /// End the thread once nothing lingers.
    Stop,
}

/// What has become of what a connection waits for.
pub(super) enum Finished {
    /// A login was checked; with the generation of the accounts before that.
    LoggedIn(Result<Arc<Account>, LoginError>, u64),
    /// An administrator's request was carried out; this is the answer, and in a word.
    Administered(Vec<u8>, RequestOutcome),
    /// Keys were read.
    Fetched(Fetched),
    /// Keys that are to be deleted were looked up, except for these.
    LookedUp(Vec<Read>),
    /// Nothing: whoever had promised it has panicked.
    Abandoned,
}

/// A worker's mailbox.
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    waker: Waker,
    /// Connections that its worker has, or is about to have.
    load: AtomicUsize,
}

#[derive(Default)]
struct Inbox {
    messages: Vec<Message>,
    /// Its worker waits, or is about to.
    asleep: bool,
    /// Its worker has ended.
    closed: bool,
}

/// The promise of a [`Finished`]. Broken, if dropped, so that nobody waits in vain.
pub(super) struct Promise {
    mailbox: Arc<Mailbox>,
    token: Token,
    kept: bool,
}

impl Token {
    pub(super) fn new(index: usize, number: u64) -> Option<Self> {
        let serial = number & u64::from(u32::MAX);
        Some(Self { index: index.try_into().ok()?, serial: serial.try_into().ok()? })
    }

    /// As the key of an event.
    pub(super) fn key(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.serial)
    }

    pub(super) fn from_key(key: u64) -> Option<Self> {
        Self::new(usize::try_from(key >> 32).ok()?, key)
    }
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { inbox: Mutex::default(), waker: Waker::new()?, load: AtomicUsize::new(0) })
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Does something while the worker reads no message, and leaves one that it reads first then.
    #[cfg(test)]
    pub(super) fn send_after(&self, meanwhile: impl FnOnce(), message: Message) {
        let mut inbox = self.inbox();
        meanwhile();
        inbox.messages.push(message);
        drop(inbox);
        self.waker.wake();
    }

    /// Sends a message. It is dropped if the worker has ended, and with it what somebody may wait for.
    pub(super) fn send(&self, message: Message) {
        let mut inbox = self.inbox();
        if inbox.closed {
            // First, since what a message carries is not to be dropped under the lock.
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

    /// Exchanges the messages for the empty `read`.
    pub(super) fn take(&self, read: &mut Vec<Message>) {
        let mut inbox = self.inbox();
        inbox.asleep = false;
        std::mem::swap(&mut inbox.messages, read);
    }

    /// Drops all messages, those to come as well: nobody will read them, and whoever waits for an answer is to
    /// know that.
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

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    pub(super) fn new(mailbox: &Arc<Mailbox>, token: Token) -> Self {
        Self { mailbox: Arc::clone(mailbox), token, kept: false }
    }

    pub(super) fn keep(mut self, finished: Finished) {
        self.kept = true;
        self.mailbox.send(Message::Finished(self.token, finished));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.kept {
            self.mailbox.send(Message::Finished(self.token, Finished::Abandoned));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn a_key_stands_for_one_connection() {
        let token = Token::new(7, 0x1_2345_6789).unwrap();
        assert_eq!(Token::from_key(token.key()), Some(token));
        assert_ne!(token, Token::new(7, 0x1_2345_678a).unwrap());
    }

    #[test]
    fn a_promise_that_is_dropped_is_known_to_be_broken() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let token = Token::new(1, 2).unwrap();
        drop(Promise::new(&mailbox, token));
        Promise::new(&mailbox, token).keep(Finished::Administered(Vec::new(), RequestOutcome::Ok));
        let mut messages = Vec::new();
        assert!(!mailbox.fall_asleep(), "there is something to read");
        mailbox.take(&mut messages);
        assert!(matches!(
            messages[..],
            [Message::Finished(_, Finished::Abandoned), Message::Finished(_, Finished::Administered(..))]
        ));
        assert!(mailbox.fall_asleep());
    }

    #[test]
    fn nobody_waits_for_the_answer_of_a_worker_that_has_ended() {
        let mailbox = Mailbox::new().unwrap();
        let (early, mut unread) = oneshot::channel();
        mailbox.send(Message::Drain(early));
        assert_eq!(unread.try_recv(), Err(TryRecvError::Empty));
        mailbox.close();
        assert_eq!(unread.try_recv(), Err(TryRecvError::Closed));
        let (late, mut unread) = oneshot::channel();
        mailbox.send(Message::Cut(late));
        assert_eq!(unread.try_recv(), Err(TryRecvError::Closed));
    }
}
