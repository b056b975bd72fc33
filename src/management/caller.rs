//! The peer of a connection, as reported by the kernel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::control::Actor;
use crate::identity;

/// The other end of a connection. Added to each of its requests.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// A client over TCP.
    Network {
        /// Its address.
        peer: SocketAddr,
        /// The address of this server that it connected to.
        local: SocketAddr,
        /// Its user, if it is on this machine: looked up on demand, once in a connection.
        owner: Arc<OnceCell<u32>>,
    },
    /// A process of this machine, over the Unix socket: the kernel admits only those that the socket's permissions
    /// allow.
    Process {
        /// Process id; 0 if it is not visible from here.
        pid: i32,
        /// User id.
        uid: u32,
    },
}

impl Caller {
    /// The caller as the history names it. Looking up its user may take a short time.
    pub(super) async fn identified(&self) -> Actor {
        match self {
            Self::Network { peer, local, owner } => identity::of_connection(*peer, *local, owner).await,
            Self::Process { .. } => identity::named(self.actor()).await,
        }
    }

    /// The caller as far as it is known at once.
    pub(super) fn actor(&self) -> Actor {
        match *self {
            Self::Network { peer, .. } => Actor::Peer(peer),
            Self::Process { pid, uid } => Actor::Process { pid, user: uid.into() },
        }
    }

    /// The address of this server that the caller reached; a Unix socket counts as loopback.
    pub(super) fn local(&self) -> IpAddr {
        match self {
            Self::Network { local, .. } => local.ip(),
            Self::Process { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }
}
