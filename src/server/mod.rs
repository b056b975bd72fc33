//! The client side of the daemon: the accept loop, rejection, and one small task per client.
//!
//! The way of a connection: [`accept`] takes it and asks the limiter for a permit. Without one it is
//! turned away ([`full`]) with a lingering close ([`linger`]). With one it becomes a [`session`], which
//! owns the permit, so that every way out of the task frees the place. A session that waits holds no
//! buffer, no timer and no channel: buffers come from a pool ([`buffers`]) when there is something to
//! read, and all timeouts are kept by one task ([`sweep`]) that walks the [`registry`].
//!
//! What requests mean is in [`requests`] (those that never wait) and [`admin`] (the rare ones that do).
//! This room never changes the limit and never counts connections: the limiter does.

mod accept;
mod admin;
mod buffers;
mod counters;
mod full;
mod linger;
mod probe;
mod registry;
mod requests;
mod session;
mod sweep;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Accounts;
use crate::limiter::Limiter;
use crate::store::Store;

use buffers::Pool;
use full::Summary;
use linger::Linger;
use registry::Registry;

pub use counters::{Counters, Counts};
pub use linger::MAX_LINGERING;
pub use probe::{ProbeError, Prober};

/// What the daemon may change while clients are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// How long a client may take from connecting to the end of its login line.
    pub login_timeout: Duration,
    /// How long a logged-in client may be silent, or take to complete a request; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// The most bytes a line may have. Counts for connections made from now on; the timeouts for all.
    pub max_request: usize,
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

/// A running server. Dropping it closes the port and leaves the sessions to themselves, timeouts included:
/// [`Server::drain`] is the good end.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    accept: JoinHandle<Result<(), io::Error>>,
    sweep: JoinHandle<()>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still at work when the time was up, and were cut off.
    pub cut: usize,
}

/// Why the server cannot go on. The daemon ends with it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Accepting failed for a reason that will not pass by itself.
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
    /// A task that must run as long as the server ended.
    #[error("a task of the server ended: {0}")]
    Task(#[source] JoinError),
    /// The same, in good order; that is not less of a fault.
    #[error("a task of the server ended early")]
    Ended,
}

/// What all sessions and the server's own tasks share.
struct Shared {
    services: Services,
    counters: Arc<Counters>,
    registry: Registry,
    buffers: Pool,
    linger: Linger,
    turned_away: Summary,
    probe: probe::Expected,
    sessions: TaskTracker,
}

/// How long sessions that were cut off may take to notice.
const CUT_GRACE: Duration = Duration::from_secs(1);

impl Server {
    /// Starts to serve clients on a bound listener. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The listener could not be prepared or registered.
    pub fn start(listener: TcpListener, services: Services) -> io::Result<Self> {
        accept::prepare(&listener)?;
        let address = listener.local_addr()?;
        #[expect(
            deprecated,
            reason = "the replacement is unsafe; a std listener keeps its descriptor as it should"
        )]
        let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
        let shared = Arc::new(Shared {
            services,
            counters: Arc::default(),
            registry: Registry::new(),
            buffers: Pool::default(),
            linger: Linger::default(),
            turned_away: Summary::default(),
            probe: probe::Expected::default(),
            sessions: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let accept = tokio::spawn(accept::run(listener, Arc::clone(&shared), stop.clone()));
        let sweep = tokio::spawn(sweep::run(Arc::clone(&shared)));
        Ok(Self { shared, address, stop, accept, sweep })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server counts, from now to its end.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// A way to find out whether clients are served.
    pub fn prober(&self) -> Prober {
        Prober::new(Arc::clone(&self.shared), self.address)
    }

    /// Connections that were refused or ended and are kept for a moment so that their last line arrives.
    pub fn lingering(&self) -> usize {
        self.shared.linger.len()
    }

    /// Waits until the server cannot go on. Normally that is for ever.
    ///
    /// Cancel safe. Not to be called again once it has returned.
    pub async fn failure(&mut self) -> ServeError {
        let ended = tokio::select! {
            ended = &mut self.accept => ended.map(|accept| accept.map_err(ServeError::Accept)),
            ended = &mut self.sweep => ended.map(Ok),
        };
        match ended {
            Err(join) => ServeError::Task(join),
            Ok(Err(error)) => error,
            Ok(Ok(())) => ServeError::Ended,
        }
    }

    /// Stops accepting; the port is closed when this returns. What is connected goes on.
    pub async fn stop_accepting(&mut self) {
        self.stop.cancel();
        if !self.accept.is_finished()
            && let Err(error) = (&mut self.accept).await
        {
            tracing::error!(%error, "the accept loop did not end in good order");
        }
    }

    /// Stops accepting and lets sessions finish: idle ones are closed at once, requests in progress are
    /// carried out and answered. What is left after `timeout` is cut off.
    pub async fn drain(mut self, timeout: Duration) -> Drained {
        self.stop_accepting().await;
        let registry = &self.shared.registry;
        registry.start_draining();
        self.shared.sessions.close();
        let cut = match tokio::time::timeout(timeout, self.shared.sessions.wait()).await {
            Ok(()) => 0,
            Err(_) => registry.cut_all(),
        };
        if cut > 0 && tokio::time::timeout(CUT_GRACE, self.shared.sessions.wait()).await.is_err() {
            tracing::warn!(sessions = self.shared.sessions.len(), "sessions do not end after being cut off");
        }
        self.shared.linger.finish().await;
        Drained { cut }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.sweep.abort();
    }
}
