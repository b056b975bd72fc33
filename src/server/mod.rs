//! The client side of the daemon: accepting, rejection, and the clients' sessions.
//!
//! A few threads, the [workers](worker), each wait for all their connections at once ([`readiness`]) and give
//! each that has something to do its turn ([`connection`]). There is no task per connection: one that
//! waits is a few words in its worker's slab, which is why a high limit costs nothing. What takes its
//! time — a commit, a password's hash, an administrator's request — is done elsewhere, and its outcome comes
//! back through the worker's [`mailbox`].
//!
//! The way of a connection: [`accept`] takes it and asks the limiter for a permit. Without one it is
//! turned away ([`full`]) with a lingering close ([`linger`]), once the hang-ups that came before it are taken
//! in ([`undecided`]). With one it becomes a [`connection`], which
//! owns the permit, so that every way out of it frees the place. Buffers come from a pool ([`buffers`])
//! when there is something to read; how much all of them may take is bounded by the [`budget`].
//!
//! What requests mean is in [`requests`] (those that never wait) and [`admin`] (the rare ones that do).
//! This room never changes the limit and never counts connections: the limiter does.

mod accept;
mod admin;
mod audit;
mod budget;
mod buffers;
mod bursts;
mod commits;
mod connection;
mod counters;
mod drain;
mod endings;
mod full;
mod linger;
mod mailbox;
mod memory_waiters;
mod peers;
mod probe;
mod readiness;
mod requests;
mod roster;
mod tally;
mod ticks;
mod undecided;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::auth::Accounts;
use crate::limiter::Limiter;
use crate::store::Store;

use accept::Acceptor;
use audit::Attempts;
use budget::{Budget, Room};
use endings::Endings;
use full::Summary;
use mailbox::Mailbox;
use worker::Worker;

pub(crate) use accept::KEPT_FOR_REJECTIONS;
pub use counters::{Answered, Counters, Counts, LoginOutcome, Recorder, RequestOutcome, Timing};
pub use drain::Drained;
pub use endings::Ending;
pub use linger::MAX_LINGERING;
pub use peers::CountedPeer;
pub use probe::{ProbeError, Prober};
pub use roster::{ConnectionInfo, Ended, Roster};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// The most threads that serve connections.
const MOST_WORKERS: usize = 16;

/// What one connection may take while it has its turn, as a multiple of the longest request: the request
/// itself in a buffer that has grown by doubling, a copy of what it stores, and the answer, in which each
/// byte of a value may need six.
const SHARE_OF_ONE: usize = 10;

/// What the daemon may change while clients are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// How long a client may take from connecting to the end of its login line.
    pub login_timeout: Duration,
    /// How long a logged-in client may be silent, or take to complete a request; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a request may take from its first byte to its last.
    pub request_timeout: Duration,
    /// The most bytes a line may have. Counts for connections made from now on; the timeouts for all.
    pub max_request: usize,
    /// The most bytes that all requests in flight may take together. When they do, reading pauses.
    pub max_inflight: usize,
}

/// What sessions work with.
#[derive(Clone)]
pub struct Services {
    /// Admits connections.
    pub limiter: Limiter,
    /// Keeps spaces and keys.
    pub store: Store,
    /// Knows users.
    pub accounts: Accounts,
    /// May change at any time.
    pub settings: watch::Receiver<ClientSettings>,
}

/// A running server. Dropping it closes the port and cuts all connections: [`Server::drain`] is the good end.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<ServeError>,
    shares_listener: bool,
}

/// Why the server cannot go on. The daemon ends with it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Accepting failed for a reason that will not pass by itself.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
    /// A thread that must run as long as the server has panicked.
    #[error("a thread of the server panicked")]
    Panicked,
    /// The same ended in good order; that is not less of a fault.
    #[error("a thread of the server ended early")]
    Ended,
}

/// What all workers share.
struct Shared {
    services: Services,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    /// Sockets that linger, of all workers.
    lingering: Arc<AtomicUsize>,
    turned_away: Summary,
    endings: Endings,
    attempts: Attempts,
    probe: probe::Expected,
    /// One for each worker.
    mailboxes: Vec<Arc<Mailbox>>,
    /// The number of the next connection.
    ids: AtomicU64,
    started: Instant,
    /// Where what takes its time is done.
    runtime: Handle,
}

impl ClientSettings {
    /// How much may be in flight before reading pauses: less than may be in all, by what those that are
    /// being worked for, and the one that is to complete its request, may come to take.
    fn room(&self, workers: usize) -> Room {
        let at_work = (workers + 1).saturating_mul(SHARE_OF_ONE).saturating_mul(self.max_request);
        let free = self.max_inflight - at_work.min(self.max_inflight / 2);
        // Few need all of the rest at the same time.
        let rest = self.max_inflight - free;
        Room { free, most: free + rest / 4, reserve: rest / 4, guests: rest / 8 }
    }
}

impl Server {
    /// Starts to serve clients on a bound listener. Must be called within a tokio runtime, which is used
    /// for what takes its time.
    ///
    /// # Errors
    /// The listener could not be prepared, or a thread not started.
    pub fn start(listener: TcpListener, services: Services) -> io::Result<Self> {
        Self::start_with(listener, services, workers())
    }

    /// The same, with that many threads to serve connections: one at least.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(listener: TcpListener, services: Services, workers: usize) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let workers = workers.max(1);
        let mut acceptor = Some(Acceptor::new(listener, workers - 1)?);
        let mailboxes = (0..workers).map(|_| Mailbox::new().map(Arc::new)).collect::<Result<_, _>>()?;
        let budget = Arc::<Budget>::default();
        let shared = Arc::new(Shared {
            services,
            counters: Arc::new(Counters::of(Arc::clone(&budget))),
            budget,
            lingering: Arc::default(),
            turned_away: Summary::default(),
            endings: Endings::default(),
            attempts: Attempts::default(),
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
                // Nobody listens any more when the server is being dropped.
                sender.send(error).ok();
            };
            server.threads.push(thread::Builder::new().name(format!("clients-{number}")).spawn(run)?);
        }
        Ok(server)
    }

    /// Another process has the listener open, too: a connection that is not accepted when this server stops is
    /// left to it. Without this, the server would have to accept what the kernel would reset otherwise.
    pub fn share_listener(&mut self) {
        self.shares_listener = true;
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server counts, from now to its end.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// A way to see who is connected.
    pub fn roster(&self) -> Roster {
        Roster::new(Arc::clone(&self.shared))
    }

    /// A way to find out whether clients are served.
    pub fn prober(&self) -> Prober {
        Prober::new(Arc::clone(&self.shared), self.address)
    }

    /// Connections that were refused or ended and are kept for a moment so that their last line arrives.
    pub fn lingering(&self) -> usize {
        self.shared.lingering.load(Ordering::Relaxed)
    }

    /// How many bytes requests in flight take, other than those that are being worked for.
    pub fn inflight(&self) -> usize {
        self.shared.budget.spent()
    }

    /// Waits until the server cannot go on. Normally that is for ever. Cancel safe.
    pub async fn failure(&mut self) -> ServeError {
        self.ended.recv().await.unwrap_or(ServeError::Ended)
    }
}

/// How many files the server has open while nobody is connected: its listener, and for each of its threads what
/// it waits with and what wakes it.
pub fn own_files() -> usize {
    1 + 2 * workers()
}

/// How many threads serve connections: all cores but one, which the store, the operators and the kernel
/// have use for.
fn workers() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, MOST_WORKERS)
}

#[cfg(test)]
mod tests;
