//! The seam between this room and the protocol on its connections.
//!
//! It is a trait, and not the sessions' enum itself, so that the dependency points one way: sessions use this room's
//! buffers, reasons and promises, and this room names no session, protocol, account or store. The program has one
//! implementation, the enum of all kinds of sessions, and the compiler makes one copy of this room for it: only that
//! enum is dispatched at run time. `net/tests.rs` has a second one, which speaks another protocol.
//!
//! A connection calls its session in its turns, and the session answers with a [`Step`]. A session hands work that must
//! be waited for to others together with a [`Promise`]; the outcome comes back through the worker's mailbox. Requests
//! of many connections that can be served in one go are collected in the [worker's state](Handler::Worker), and their
//! outcomes come back as one [batch](Outbox).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::endings::Ending;
use super::mailbox::Mailbox;
use super::message::{Message, Outbox, Promise};
use super::readiness::{Readiness, Ready};
use super::settings::ClientSettings;
use super::token::{Side, Token};
use super::work::Work;

/// A session: the protocol on one connection.
pub trait Handler: Sized + Send + 'static {
    /// What all sessions share.
    type Services: Services;
    /// What the sessions of one worker share.
    type Worker: Send;
    /// What a session needs while its connection has work, beside the bytes. It comes from a pool.
    type Scratch: Scratch;
    /// What a session has waited for.
    type Completion<'a>: Send;
    /// Completions for several sessions of one worker.
    type Batch: Send;
    /// The name of a session in lists.
    type Label: Send + 'static;

    /// A session with a client that has just been admitted.
    fn new(settings: &ClientSettings) -> Self;

    /// The client's user. A client without one is a guest: it has less time and less memory.
    fn user(&self) -> Option<&str>;

    /// The name of the session in lists.
    fn label(&self) -> Self::Label;

    /// Handles what was read, until nothing is left to do or the session has to wait. Is called again after each step,
    /// and then continues where it left off. Also returns the number of requests handled.
    fn on_input(&mut self, work: &mut Work<Self>, context: &mut Context<'_, Self>) -> (Step, usize);

    /// Handles the outcome that the session has waited for since [`Step::Wait`].
    fn on_completion(
        &mut self,
        completion: Self::Completion<'_>,
        work: &mut Work<Self>,
        context: &mut Context<'_, Self>,
    ) -> Step;

    /// Records that the session's second socket, which [is watched](Context::watch_backend), is ready. This ends a wait
    /// of the session; [`Handler::on_input`] is called next.
    fn on_backend(&mut self, ready: Ready);

    /// Some or all of the answers were handed to the kernel.
    fn on_sent(work: &mut Work<Self>, worker: &mut Self::Worker);

    /// The session has waited for too long: appends the message for the client, and gives up the work under way.
    fn on_timeout(&mut self, work: &mut Work<Self>);

    /// The client has ended its side while the session waits, and has sent nothing more. Returns whether it may still
    /// wait for the answer; if not, `line` gets the last message before the connection ends.
    fn on_hang_up(&self, line: &mut Vec<u8>) -> bool;

    /// Appends this room's message for a client to `line`, in the words of the protocol.
    fn last_words(words: LastWords, line: &mut Vec<u8>);

    /// The end of the last or the first whole request in bytes that a client has sent.
    fn end_of_request(bytes: &[u8], which: Which) -> Option<usize>;

    /// Creates the state of one more worker.
    fn worker(services: &Self::Services) -> Self::Worker;

    /// Hands over what the sessions of a worker have collected. Called once in each turn of the worker's loop.
    fn flush(worker: &mut Self::Worker, services: &Self::Services, outbox: &Outbox<Self>);

    /// The completions of a batch, one for each session.
    fn completions(batch: &Self::Batch) -> impl Iterator<Item = (Token, Self::Completion<'_>)>;
}

/// What all sessions of a server share.
pub trait Services: Send + Sync + 'static {
    /// Called four times a second by each worker that has connections.
    fn tick(&self);

    /// Whether [`Services::log`] has something to log, or may have soon.
    fn has_news(&self) -> bool;

    /// Logs the noted events that are due. Called every [`INTERVAL`](super::endings::INTERVAL).
    fn log(&self);

    /// Returns when what serves the sessions has shown that it works; `false` if it is closed.
    fn works(&self) -> impl Future<Output = bool> + Send;
}

/// What a session needs while its connection has work.
pub trait Scratch: Default + Send {
    /// How many bytes it holds, beside its own size.
    fn held(&self) -> usize;

    /// Forgets everything, for the next connection, and cancels work that others do for this one. May keep memory.
    fn clear(&mut self);
}

/// What a connection must do before its session can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send pending output, and read on.
    Read,
    /// Send pending output, and come back at once: there is more to do.
    Send,
    /// Wait: a completion will come, or the second socket will be ready.
    Wait,
    /// Send pending output and close the connection, for this reason.
    Close(Ending),
}

/// A message of this room for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWords {
    /// The limit is reached.
    AtCapacity {
        /// The limit that was reached.
        limit: u32,
    },
    /// Its request did not arrive completely in time.
    TooSlow {
        /// How long a request may take.
        longest: Duration,
    },
}

/// One of several requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that was sent first.
    First,
    /// The one that was sent last.
    Last,
}

/// What a session works with when it is called.
pub struct Context<'a, H: Handler> {
    /// What all sessions share.
    pub services: &'a H::Services,
    /// What the sessions of this worker share.
    pub worker: &'a mut H::Worker,
    /// The runtime for slow work.
    pub runtime: &'a Handle,
    /// The client's address.
    pub peer: SocketAddr,
    pub(super) token: Token,
    pub(super) mailbox: &'a Arc<Mailbox<Message<H>>>,
    pub(super) readiness: &'a Readiness,
}

impl<H: Handler> Context<'_, H> {
    /// The identity of this connection.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// A promise to this connection, which has to wait for it.
    pub(crate) fn promise(&self) -> Promise<H> {
        Promise::new(self.mailbox, self.token)
    }

    /// The destination of batches for this worker.
    pub(crate) fn outbox(&self) -> Outbox<H> {
        Outbox::new(self.mailbox)
    }

    /// Watches a second socket of the session for edges, until it is closed: [`Handler::on_backend`] is called whenever
    /// input arrives and when there is room to send again.
    ///
    /// # Errors
    /// There is no memory to watch it.
    #[cfg_attr(not(test), expect(dead_code, reason = "no session in the program has a second socket yet"))]
    pub(crate) fn watch_backend(&self, socket: impl std::os::fd::AsFd) -> std::io::Result<()> {
        self.readiness.watch_both(socket, self.token.key(Side::Backend))
    }
}
