//! Proof that clients are served: connect, be accepted, have the store answer, get a line back.
//!
//! A probe goes the way a client goes, through the kernel, every worker and the store's committer,
//! but it is known by its address: it is not counted and needs no free place. Only this process can
//! have that address while the probe holds it, so nobody else can pass for one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{SendFlags, send};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

use crate::store::StoreError;

use super::Shared;

/// What a probe is answered.
const ANSWER: &[u8] = b"{\"status\":\"OK\"}\n";

/// Asks a server whether it serves. A cheap handle.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
    server: SocketAddr,
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection failed.
    #[error("cannot connect: {0}")]
    Connection(#[from] io::Error),
    /// The connection was closed without the answer.
    #[error("no answer")]
    NoAnswer,
}

/// The address of the probe that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Its port, or 0: what the accept loop looks at for every connection.
    port: AtomicU16,
    address: Mutex<Option<SocketAddr>>,
}

/// Withdraws the address when the probe is over, however it ends.
struct Announced<'a>(&'a Expected);

impl Prober {
    pub(super) fn new(shared: Arc<Shared>, server: SocketAddr) -> Self {
        Self { shared, server: reachable(server) }
    }

    /// Returns once the server has answered; puts no limit on the time that takes.
    /// One probe at a time: a second one takes the place of the first.
    ///
    /// # Errors
    /// [`ProbeError`]
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let (socket, any) = match self.server {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::from(Ipv4Addr::LOCALHOST)),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::from(Ipv6Addr::LOCALHOST)),
        };
        // A server on loopback is reached from loopback; one on another address, from that address.
        let own = if self.server.ip().is_loopback() { any } else { self.server.ip() };
        socket.bind(SocketAddr::new(own, 0))?;
        let _announced = self.shared.probe.announce(socket.local_addr()?);
        let mut connection = socket.connect(self.server).await?;
        let mut answer = [0; ANSWER.len()];
        match connection.read_exact(&mut answer).await {
            Ok(_) if answer == ANSWER => Ok(()),
            Ok(_) => Err(ProbeError::NoAnswer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ProbeError::NoAnswer),
            Err(error) => Err(error.into()),
        }
    }
}

impl Expected {
    /// Whether this is the address of a probe.
    pub(super) fn is(&self, peer: SocketAddr) -> bool {
        self.port.load(Ordering::Relaxed) == peer.port() && *self.address() == Some(peer)
    }

    fn announce(&self, address: SocketAddr) -> Announced<'_> {
        *self.address() = Some(address);
        self.port.store(address.port(), Ordering::Relaxed);
        Announced(self)
    }

    fn address(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.port.store(0, Ordering::Relaxed);
        *self.0.address() = None;
    }
}

/// Answers a probe, once the store has shown that it still commits. A store that answers with an
/// error is at work: a full disk is not mended by a restart.
pub(super) fn answer(socket: OwnedFd, shared: &Shared) {
    let store = shared.services.store.clone();
    shared.runtime.spawn(async move {
        if matches!(store.write(Vec::new()).await, Err(StoreError::Closed)) {
            return;
        }
        if let Err(error) = send(&socket, ANSWER, SendFlags::NOSIGNAL) {
            tracing::debug!(%error, "cannot answer the probe");
        }
    });
}

/// An address at which this machine reaches the server.
fn reachable(server: SocketAddr) -> SocketAddr {
    let ip = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, server.port())
}
