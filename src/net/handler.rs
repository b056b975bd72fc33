//! The seam between this room and what is spoken on its connections.
//!
//! It is a trait, and not the sessions' enum itself, so that the arrow points one way: sessions use this room's buffers,
//! reasons and promises, and this room names no session, protocol, account or store. There is one implementation in the
//! program, the enum of all kinds of sessions, and the compiler makes one copy of this room for it: nothing is
//! dispatched at run time but by that enum. `net/tests.rs` has a second one, which speaks another protocol.
//!
//! A connection calls its session in its turns, and the session answers with a [`Step`]. What must be waited for, the
//! session hands to others together with a [`Promise`]; the outcome comes back through the worker's mailbox.
//! What many connections have others do in one go, the session collects in its [worker's state](Handler::Worker), and
//! sends the outcomes as one [batch](Outbox).

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

/// A session: what is spoken on one connection.
pub trait Handler: Sized + Send + 'static {
    /// What all sessions share.
    type Services: Services;
    /// What the sessions of one worker share.
    type Worker: Send;
    /// What a session needs while its connection is worked for, beside the bytes. It comes from a pool.
    type Scratch: Scratch;
    /// What a session has waited for.
    type Completion<'a>: Send;
    /// Completions for several sessions of one worker.
    type Batch: Send;
    /// What a session is called in lists.
    type Label: Send + 'static;

    /// A session with a client that has just been admitted.
    fn new(settings: &ClientSettings) -> Self;

    /// Who the client is. One of which that is not known yet is a guest: it has less time and less memory.
    fn user(&self) -> Option<&str>;

    /// What the session is called in lists.
    fn label(&self) -> Self::Label;

    /// Handles what was read, until there is nothing more to be done, or something has to be waited for. Is
    /// called again after each step, and then goes on where it was. Returns the number of requests handled as well.
    fn on_input(&mut self, work: &mut Work<Self>, context: &mut Context<'_, Self>) -> (Step, usize);

    /// Handles the outcome of what the session has waited for since [`Step::Wait`].
    fn on_completion(
        &mut self,
        completion: Self::Completion<'_>,
        work: &mut Work<Self>,
        context: &mut Context<'_, Self>,
    ) -> Step;

    /// Notes that the session's second socket, which it has had [watched](Context::watch_backend), is ready. If the
    /// session waits, that is over; [`Handler::on_input`] is called next.
    fn on_backend(&mut self, ready: Ready);

    /// Answers were handed to the kernel, all or some.
    fn on_sent(work: &mut Work<Self>, worker: &mut Self::Worker);

    /// The session has waited for too long: appends what the client is told, and gives up what is under way.
    fn on_timeout(&mut self, work: &mut Work<Self>);

    /// The client has ended its side while the session waits, and has sent nothing more. Whether it may still wait for
    /// the answer; if not, `line` is what it is told before the connection ends.
    fn on_hang_up(&self, line: &mut Vec<u8>) -> bool;

    /// Appends to `line` what this room has to say to a client, in the words of the protocol.
    fn last_words(words: LastWords, line: &mut Vec<u8>);

    /// Where, in bytes that a client has sent, the last whole request ends; or the first.
    fn end_of_request(bytes: &[u8], which: Which) -> Option<usize>;

    /// The state of one more worker.
    fn worker(services: &Self::Services) -> Self::Worker;

    /// Hands over what the sessions of a worker have collected. Is called once in each turn of its loop.
    fn flush(worker: &mut Self::Worker, services: &Self::Services, outbox: &Outbox<Self>);

    /// What a batch has for each session.
    fn completions(batch: &Self::Batch) -> impl Iterator<Item = (Token, Self::Completion<'_>)>;
}

/// What all sessions of a server share.
pub trait Services: Send + Sync + 'static {
    /// Is called four times a second by each worker that has connections.
    fn tick(&self);

    /// Whether there is something for [`Services::log`], or may soon be.
    fn has_news(&self) -> bool;

    /// Logs what was noted and is due. Is called every [`INTERVAL`](super::endings::INTERVAL).
    fn log(&self);

    /// Returns when what serves the sessions has shown that it is at work. Whether it is open at all.
    fn works(&self) -> impl Future<Output = bool> + Send;
}

/// What a session needs while its connection is worked for.
pub trait Scratch: Default + Send {
    /// How many bytes it holds, beside its own size.
    fn held(&self) -> usize;

    /// Forgets everything, for the next connection, and gives up what others do for this one. May keep memory.
    fn clear(&mut self);
}

/// What a connection must do before its session can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send what there is, and read on.
    Read,
    /// Send what there is, and come back at once: there is more to be done.
    Send,
    /// Wait: a completion will come, or the second socket will be ready.
    Wait,
    /// Send what there is and close the connection, for this reason.
    Close(Ending),
}

/// What this room has to say to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWords {
    /// There is no place for it.
    AtCapacity {
        /// The limit that was reached.
        limit: u32,
    },
    /// Its request has not come in to its end in time.
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
    /// Where what takes its time is done.
    pub runtime: &'a Handle,
    /// Where the client is.
    pub peer: SocketAddr,
    pub(super) token: Token,
    pub(super) mailbox: &'a Arc<Mailbox<Message<H>>>,
    pub(super) readiness: &'a Readiness,
}

impl<H: Handler> Context<'_, H> {
    /// Which connection this is.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// A promise to this connection, which is to wait for it.
    pub(crate) fn promise(&self) -> Promise<H> {
        Promise::new(self.mailbox, self.token)
    }

    /// Where batches for this worker go.
    pub(crate) fn outbox(&self) -> Outbox<H> {
        Outbox::new(self.mailbox)
    }

    /// Has a second socket watched, for edges, until it is closed: [`Handler::on_backend`] is called whenever something
    /// comes in, and when there is room again to send.
    ///
    /// # Errors
    /// There is no memory to watch it.
    #[cfg_attr(not(test), expect(dead_code, reason = "no session in the program has a second socket yet"))]
    pub(crate) fn watch_backend(&self, socket: impl std::os::fd::AsFd) -> std::io::Result<()> {
        self.readiness.watch_both(socket, self.token.key(Side::Backend))
    }
}
