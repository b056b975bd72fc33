//! The sources of connections to the API: a TCP port, and a Unix socket beside it.

use std::io;
use std::net::SocketAddr;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::OnceCell;
use tokio_util::either::Either;

use super::caller::Caller;

/// How long the other end may fail to acknowledge what was sent, in milliseconds.
const GONE_AFTER: u32 = 90_000;

/// How many connections may be open at once; further ones wait in the kernel's queue. Each is a file descriptor that
/// the ceiling of client connections must leave free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSlots {
    /// On the TCP port.
    pub tcp: usize,
    /// On the Unix socket. It has places of its own, so that its permitted users get in while others hold all of the
    /// port's.
    pub unix: usize,
}

/// A socket on which the API listens.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port. Any client that can reach it may connect.
    Tcp(TcpListener),
    /// A Unix socket. Users permitted by its mode may connect, and need no token.
    Unix(UnixListener),
}

/// A connection that was accepted; its peer is not known yet.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// The byte stream of a connection.
pub(super) type Stream = Either<TcpStream, UnixStream>;

impl ConnectionSlots {
    /// As many as there are descriptors for, up to the usual number. At least one, however few there are: without the
    /// API no operator could fix the shortage.
    pub fn within(descriptors: usize) -> Self {
        let usual = Self::default();
        let unix = (descriptors / 6).clamp(1, usual.unix);
        Self { tcp: descriptors.saturating_sub(unix).clamp(3, usual.tcp), unix }
    }

    /// The sum of both.
    pub fn all(self) -> usize {
        self.tcp + self.unix
    }
}

impl Default for ConnectionSlots {
    fn default() -> Self {
        Self { tcp: 30, unix: 5 }
    }
}

impl Listener {
    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }

    /// How many of its connections may be open at once.
    pub(super) fn connections(&self, slots: ConnectionSlots) -> usize {
        match self {
            Self::Tcp(_) => slots.tcp,
            Self::Unix(_) => slots.unix,
        }
    }
}

impl Accepted {
    /// Prepares the connection, and identifies its peer.
    ///
    /// # Errors
    /// The system's error for a connection that is gone already.
    pub(super) fn introduce(self) -> io::Result<(Stream, Caller)> {
        match self {
            Self::Tcp(stream, peer) => {
                stream.set_nodelay(true)?;
                // A silently vanished peer is detected as fast as one that reads nothing.
                set_tcp_user_timeout(&stream, GONE_AFTER)?;
                // On a dual-stack socket an IPv4 client appears as an IPv6 address.
                let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
                let (local, peer) = (canonical(stream.local_addr()?), canonical(peer));
                Ok((Either::Left(stream), Caller::Network { peer, local, owner: OnceCell::new().into() }))
            }
            Self::Unix(stream) => {
                // Those of the process that connected, whichever process holds the other end by now.
                let credentials = stream.peer_cred()?;
                let (pid, uid) = (credentials.pid().unwrap_or_default(), credentials.uid());
                Ok((Either::Right(stream), Caller::Process { pid, uid }))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}
