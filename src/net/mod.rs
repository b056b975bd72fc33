//! Everything a client's connection needs, whatever protocol it speaks: accepting, admission and rejection, buffers and
//! their budget, timeouts, the lingering close, the roster, and the drain at the end.
//!
//! A few threads, the [workers](worker), each wait for all their connections at once ([`readiness`]) and give each
//! connection with work its turn ([`connection`]). There is no task per connection: a waiting one is a few words in its
//! worker's slab, which is why a high limit costs nothing. Slow work is done elsewhere, and its outcome comes back as a
//! [`message`] through the worker's [`mailbox`].
//!
//! The life of a connection: [`accept`] takes it and asks for a place ([`admission`]). Without one it is rejected
//! ([`rejection`]) with a lingering close ([`linger`]), once the earlier hang-ups are taken in ([`undecided`]). With
//! one it becomes a [`connection`], which owns the admission, so that every way out of it frees the place. Its bytes go
//! through a [`transport`], and only its session, behind the trait [`handler`], knows what they mean. Buffers come from
//! a pool ([`work`]) when there is something to read; the [`budget`] bounds how much they may take together.
//!
//! This room knows no protocol, no account and no store, and it imports no session: see [`handler`] for why that is a
//! trait. The only other room it uses is the limiter. It never changes the limit and never counts connections: the
//! limiter does.

mod accept;
mod admission;
mod budget;
mod bursts;
mod connection;
pub(crate) mod counters;
mod drain;
mod endings;
mod handler;
mod input;
mod linger;
mod mailbox;
mod memory_waiters;
mod message;
mod peers;
mod probe;
mod readiness;
mod rejection;
mod roster;
mod settings;
mod shortage;
mod ticks;
mod token;
mod transport;
mod undecided;
mod work;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::limiter::{Limiter, Name, NamedLimit};
use crate::sync;

use accept::Acceptor;
use budget::Budget;
use endings::Endings;
use mailbox::Mailbox;
use message::Message;
use rejection::Summary;
use worker::Worker;

pub(crate) use accept::KEPT_FOR_REJECTIONS;
pub(crate) use bursts::{Storm, Untold};
pub(crate) use counters::Counters;
pub use drain::Drained;
pub use endings::Ending;
pub(crate) use endings::RHYTHM;
pub(crate) use handler::{Context, Handler, LastWords, Scratch, Services, Step, Which};
pub(crate) use input::Input;
pub use linger::MAX_LINGERING;
pub(crate) use message::Outbox;
pub use peers::CountedPeer;
pub use probe::ProbeError;
pub(crate) use probe::Prober;
pub(crate) use readiness::Ready;
pub use roster::Ended;
pub(crate) use roster::{ConnectionInfo, Roster};
pub use settings::ClientSettings;
pub(crate) use token::Token;
pub(crate) use work::Work;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// The most threads that serve connections.
const MOST_WORKERS: usize = 16;

/// A running server. Dropping it closes the port and cuts all connections; [`Server::drain`] ends it in good order.
pub struct Server<H: Handler> {
    shared: Arc<Shared<H>>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<ServeError>,
    shares_listener: bool,
}

/// Why the server cannot go on. The daemon exits with it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Accepting failed for a reason that will not pass by itself.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
    /// A thread that the server always needs has panicked.
    #[error("a thread of the server panicked")]
    Panicked,
    /// A thread that the server always needs has returned without a panic, which is also a fault.
    #[error("a thread of the server ended early")]
    Ended,
}

/// The state that all workers share.
struct Shared<H: Handler> {
    /// The limit that applies to every connection.
    limit: NamedLimit,
    /// Client settings; they may change at any time.
    settings: watch::Receiver<ClientSettings>,
    /// The services for the sessions.
    services: H::Services,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    /// The number of lingering sockets of all workers.
    lingering: Arc<AtomicUsize>,
    turned_away: Summary,
    endings: Endings,
    probe: probe::Expected,
    /// One mailbox for each worker.
    mailboxes: Vec<Arc<Mailbox<Message<H>>>>,
    /// The number of the next connection.
    ids: AtomicU64,
    started: Instant,
    /// The runtime for slow work.
    runtime: Handle,
}

impl<H: Handler> Server<H> {
    /// Starts to serve clients on a bound listener with `workers` threads, at least one. Must be called within a tokio
    /// runtime, which runs the slow work.
    ///
    /// # Errors
    /// The listener could not be prepared, or a thread could not be started.
    pub(crate) fn launch(
        listener: TcpListener,
        limiter: Limiter,
        settings: watch::Receiver<ClientSettings>,
        services: H::Services,
        workers: usize,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let workers = workers.max(1);
        let mut acceptor = Some(Acceptor::new(listener, workers - 1)?);
        let mailboxes = (0..workers).map(|_| Mailbox::new().map(Arc::new)).collect::<Result<_, _>>()?;
        let budget = Arc::<Budget>::default();
        let shared = Arc::new(Shared {
            limit: NamedLimit::lasting(Name::Main, limiter),
            settings,
            services,
            counters: Arc::new(Counters::of(Arc::clone(&budget))),
            budget,
            lingering: Arc::default(),
            turned_away: Summary::default(),
            endings: Endings::default(),
            probe: probe::Expected::default(),
            mailboxes,
            ids: AtomicU64::new(1),
            started: Instant::now(),
            runtime: Handle::current(),
        });
        let (sender, ended) = mpsc::unbounded_channel();
        let mut server = Self { shared, address, threads: Vec::new(), ended, shares_listener: false };
        for (number, mailbox) in server.shared.mailboxes.clone().into_iter().enumerate() {
            let worker = Worker::new(number, &server.shared, acceptor.take())?;
            let sender = sender.clone();
            let run = move || {
                let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
                mailbox.close();
                let error = match ended {
                    Ok(Ok(())) => ServeError::Ended,
                    Ok(Err(error)) => ServeError::Accept(error),
                    Err(_) => ServeError::Panicked,
                };
                // If the server is being dropped, the receiver is gone.
                sender.send(error).ok();
            };
            server.threads.push(thread::Builder::new().name(format!("clients-{number}")).spawn(run)?);
        }
        Ok(server)
    }

    /// Tells the server that another process also has the listener open: connections that are not accepted when this
    /// server stops are left to that process. Otherwise the server has to accept them, because the kernel would reset
    /// them.
    pub fn share_listener(&mut self) {
        self.shares_listener = true;
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The services for the sessions.
    pub(crate) fn services(&self) -> &H::Services {
        &self.shared.services
    }

    /// The counters of connections.
    pub(crate) fn connection_counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }

    /// A handle that lists the connected clients.
    pub fn roster(&self) -> Roster<H> {
        Roster::new(Arc::clone(&self.shared))
    }

    /// A handle that checks whether clients are served.
    pub fn prober(&self) -> Prober<H> {
        Prober::new(Arc::clone(&self.shared), self.address)
    }

    /// The number of refused or ended connections that are kept for a moment so that their last line arrives.
    pub fn lingering(&self) -> usize {
        self.shared.lingering.load(Ordering::Relaxed)
    }

    /// The bytes that requests in flight take, without those in their turn right now.
    pub fn inflight(&self) -> usize {
        self.shared.budget.spent()
    }

    /// Waits until the server cannot go on, normally for ever. Cancel safe.
    pub async fn failure(&mut self) -> ServeError {
        self.ended.recv().await.unwrap_or(ServeError::Ended)
    }
}

/// The number of descriptors the server has open without any client: its listener, and for each of its threads its poll
/// descriptor and its waker.
pub(crate) fn own_files() -> usize {
    1 + 2 * workers()
}

/// The number of threads that serve connections: all cores but one, which the store, the operators and the kernel use.
pub(crate) fn workers() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, MOST_WORKERS)
}

#[cfg(test)]
pub(crate) mod tests;
