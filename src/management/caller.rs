//! Who is at the other end of a connection, as the kernel tells.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::control::Actor;
use crate::identity;

/// The other end of a connection. Added to each of its requests.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Somebody over TCP.
    Network {
        /// From where.
        peer: SocketAddr,
        /// The address of this server at which the connection has arrived.
        local: SocketAddr,
        /// Its user, if it is of this machine and somebody has asked: looked up once in a connection.
        owner: Arc<OnceCell<u32>>,
    },
    /// A process of this machine, over the Unix socket: the kernel has let only those connect that the
    /// socket's permissions name.
    Process {
        /// Process id; 0 if it is not visible from here.
        pid: i32,
        /// User id.
        uid: u32,
    },
}

impl Caller {
    /// As the history names it. Its user comes from where one may have to wait, for a short time.
    pub(super) async fn identified(&self) -> Actor {
        match self {
            Self::Network { peer, local, owner } => identity::of_connection(*peer, *local, owner).await,
            Self::Process { .. } => identity::named(self.actor()).await,
        }
    }

    /// The same as far as it is known at once.
    pub(super) fn actor(&self) -> Actor {
        match *self {
            Self::Network { peer, .. } => Actor::Peer(peer),
            Self::Process { pid, uid } => Actor::Process { pid, user: uid.into() },
        }
    }

    /// The address of this server that the caller reached; a Unix socket is as good as loopback.
    pub(super) fn local(&self) -> IpAddr {
        match self {
            Self::Network { local, .. } => local.ip(),
            Self::Process { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }
}
