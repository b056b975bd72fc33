//! Where connections to the API come from: a TCP port, and a Unix socket beside it.

use std::io;
use std::net::SocketAddr;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::OnceCell;
use tokio_util::either::Either;

use super::caller::Caller;

/// For how long the other end may leave unsaid that it has got what was sent, in milliseconds.
const GONE_AFTER: u32 = 90_000;

/// How many connections may be open at once; further ones wait in the kernel's queue. Each is a file
/// descriptor that the ceiling of client connections has to leave free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSlots {
    /// On the TCP port.
    pub tcp: usize,
    /// On the Unix socket. It has places of its own, so that whoever may use it gets in while others
    /// hold all of the port's.
    pub unix: usize,
}

/// A socket on which the API listens.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port. Whoever can reach it may connect.
    Tcp(TcpListener),
    /// A Unix socket. Whoever its permissions name may connect, and needs no token.
    Unix(UnixListener),
}

/// A connection that was accepted; nothing is known of it yet.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// What is read and written.
pub(super) type Stream = Either<TcpStream, UnixStream>;

impl ConnectionSlots {
    /// As many as there are descriptors for, up to the usual number. Somebody can get in however few
    /// there are: without that, nobody could do anything about it.
    pub fn within(descriptors: usize) -> Self {
        let usual = Self::default();
        let unix = (descriptors / 6).clamp(1, usual.unix);
        Self { tcp: descriptors.saturating_sub(unix).clamp(3, usual.tcp), unix }
    }

    /// All together.
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
    /// Gets it ready, and finds out who is there.
    ///
    /// # Errors
    /// What the system says of a connection that is gone already.
    pub(super) fn introduce(self) -> io::Result<(Stream, Caller)> {
        match self {
            Self::Tcp(stream, peer) => {
                stream.set_nodelay(true)?;
                // One that is gone without a word is found out as soon as one that takes nothing.
                set_tcp_user_timeout(&stream, GONE_AFTER)?;
                // On a socket for both families, an IPv4 client shows as an IPv6 address.
                let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
                let (local, peer) = (canonical(stream.local_addr()?), canonical(peer));
                Ok((Either::Left(stream), Caller::Network { peer, local, owner: OnceCell::new().into() }))
            }
            Self::Unix(stream) => {
                // Of the process that has connected, whoever holds the other end by now.
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
