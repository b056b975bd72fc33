//! Messages to a worker: from another worker, from the services that its sessions use, from the server's owner.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admission::Admitted;
use super::handler::Handler;
use super::mailbox::Mailbox;
use super::probe::Probe;
use super::roster::{ConnectionInfo, Ended};
use super::token::Token;

/// A message in a worker's mailbox.
pub(super) enum Message<H: Handler> {
    /// A new connection for the worker.
    Welcome(Admitted),
    /// Outcomes that several connections have waited for.
    Batch(H::Batch),
    /// The outcome that one connection has waited for. `None` if the task that promised it has panicked.
    Completed(Token, Option<H::Completion<'static>>),
    /// A probe to pass on; the last worker answers it.
    Probe(Probe),
    /// Check for new connections, and pass this on like a probe.
    Heartbeat(oneshot::Sender<()>),
    /// Take in all hang-ups that have arrived, and confirm that, in this round.
    TakeHangUps(u64),
    /// Another worker has done so.
    HangUpsTaken(u64),
    /// Cut off some lingering sockets: there are no descriptors for the next connection.
    MakeRoom,
    /// Close the listener. Another process may have it open as well.
    StopAccepting { shared: bool, stopped: oneshot::Sender<()> },
    /// Let connections end, and report when there are none.
    Drain(oneshot::Sender<()>),
    /// End all connections, whatever they are doing, and return how many there were.
    Cut(oneshot::Sender<usize>),
    /// List the connections.
    List(oneshot::Sender<Vec<ConnectionInfo<H::Label>>>),
    /// End one connection.
    End(u64, oneshot::Sender<Option<Ended>>),
    /// End the thread once nothing lingers.
    Stop,
}

/// The promise of a completion. Dropping it breaks it, so that no session waits in vain.
pub(crate) struct Promise<H: Handler> {
    mailbox: Arc<Mailbox<Message<H>>>,
    token: Token,
    kept: bool,
}

/// The destination of batches for the sessions of one worker.
pub struct Outbox<H: Handler>(Arc<Mailbox<Message<H>>>);

impl<H: Handler> Promise<H> {
    pub(super) fn new(mailbox: &Arc<Mailbox<Message<H>>>, token: Token) -> Self {
        Self { mailbox: Arc::clone(mailbox), token, kept: false }
    }

    /// Sends the completion to the session that waits for it.
    pub(crate) fn keep(mut self, completion: H::Completion<'static>) {
        self.kept = true;
        self.mailbox.send(Message::Completed(self.token, Some(completion)));
    }
}

impl<H: Handler> Drop for Promise<H> {
    fn drop(&mut self) {
        if !self.kept {
            self.mailbox.send(Message::Completed(self.token, None));
        }
    }
}

impl<H: Handler> Clone for Outbox<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> Outbox<H> {
    pub(super) fn new(mailbox: &Arc<Mailbox<Message<H>>>) -> Self {
        Self(Arc::clone(mailbox))
    }

    /// Sends completions to all sessions that wait for them.
    pub(crate) fn send(&self, batch: H::Batch) {
        self.0.send(Message::Batch(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Relay;
    use super::*;

    #[test]
    fn a_promise_that_is_dropped_is_known_to_be_broken() {
        let mailbox = Arc::new(Mailbox::<Message<Relay>>::new().unwrap());
        let token = Token::new(1, 2).unwrap();
        drop(Promise::new(&mailbox, token));
        Promise::new(&mailbox, token).keep(());
        let mut messages = Vec::new();
        mailbox.take(&mut messages);
        let [Message::Completed(first, None), Message::Completed(second, Some(()))] = messages[..] else {
            panic!("one broken, and one kept");
        };
        assert_eq!((first, second), (token, token));
    }
}
