//! The client side of the daemon: combines the connections of `net` with the sessions of `session`; each explains
//! itself.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::watch;

use crate::auth::Accounts;
use crate::limiter::Limiter;
use crate::net;
use crate::session::{self, Session};
use crate::store::Store;

pub(crate) use crate::net::{BACKLOG, KEPT_FOR_REJECTIONS, own_files};
pub use crate::net::{
    ClientSettings, CountedPeer, Drained, Ended, Ending, MAX_LINGERING, ProbeError, ServeError,
};
pub use crate::session::{
    Answered, LoginOutcome, Recorder, RequestCounters, RequestCounts, RequestOutcome, Timing,
};

/// A running server for clients.
pub type Server = net::Server<Session>;

/// Lists the connected clients.
pub type Roster = net::Roster<Session>;

/// Checks whether the server serves.
pub type Prober = net::Prober<Session>;

/// One connection, as of a moment ago.
pub type ConnectionInfo = net::ConnectionInfo<session::Label>;

/// What the server depends on.
#[derive(Clone)]
pub struct Services {
    /// Admits connections.
    pub limiter: Limiter,
    /// Keeps spaces and keys.
    pub store: Store,
    /// Holds the users.
    pub accounts: Accounts,
    /// May change at any time.
    pub settings: watch::Receiver<ClientSettings>,
}

/// The server's counters. Any thread may read them.
#[derive(Debug)]
pub struct Counters {
    connections: Arc<net::Counters>,
    requests: Arc<RequestCounters>,
}

/// The values of all [`Counters`], each read at a slightly different moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Sessions that ended in a panic: faults of this program.
    pub panicked: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that were refused.
    pub logins_denied: u64,
    /// Connections that ended, by each possible reason.
    pub endings: Vec<(Ending, u64)>,
    /// The bytes that requests in flight take now.
    pub inflight: usize,
    /// The number of connections that wait for memory now.
    pub waiting: usize,
    /// How often reading has paused for lack of memory.
    pub pauses: u64,
    /// Requests, by each possible type and outcome.
    pub requests: Vec<Timing>,
}

impl Server {
    /// Starts to serve clients on a bound listener. Must be called within a tokio runtime, which runs the slow work.
    ///
    /// # Errors
    /// The listener could not be prepared, or a thread could not be started.
    pub fn start(listener: TcpListener, services: Services) -> io::Result<Self> {
        Self::start_with(listener, services, net::workers())
    }

    /// Like [`Server::start`], with this many threads for connections, at least one.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(listener: TcpListener, services: Services, workers: usize) -> io::Result<Self> {
        let Services { limiter, store, accounts, settings } = services;
        Self::launch(listener, limiter, settings, session::Services::new(store, accounts), workers)
    }

    /// The server's counters, which remain readable after its end.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::new(Counters {
            connections: Arc::clone(self.connection_counters()),
            requests: Arc::clone(self.services().counters()),
        })
    }
}

impl Counters {
    /// The current values.
    pub fn read(&self) -> Counts {
        let net::counters::Counts { panicked, endings, inflight, waiting, pauses } = self.connections.read();
        let RequestCounts { logins, logins_denied, requests } = self.requests.read();
        Counts { panicked, logins, logins_denied, endings, inflight, waiting, pauses, requests }
    }
}

#[cfg(test)]
mod tests;
