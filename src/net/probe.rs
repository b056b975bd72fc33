//! Proof that clients are served: connect, be accepted, get an answer from what serves the sessions, get a line back.
//!
//! A probe takes the same path as a client, through the kernel, every worker and what the sessions work with, but it is
//! known by its address: it is not counted and needs no free place. Only this process can have that address while the
//! probe holds it, so no client can pass for one.
//!
//! A failed connect says little about the server: there may be no IPv6 here, no free port, no descriptor. So there are
//! several [`ways`] to connect, and if none works, the server is checked from within ([`Prober::heartbeat`]).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::unpoisoned::Unpoisoned;

use super::Shared;
use super::handler::{Handler, Services};
use super::message::Message;
use super::transport::{Then, Transport};

/// The answer to a probe.
const ANSWER: &[u8] = b"{\"status\":\"OK\"}\n";

/// Source addresses of this machine to use when all ports of the first are in use.
const MORE_SOURCES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 77, 0, 1), Ipv4Addr::new(127, 77, 0, 2)];

/// Checks whether a server serves. A cheap handle.
pub struct Prober<H: Handler> {
    shared: Arc<Shared<H>>,
    server: SocketAddr,
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no way to connect, which says nothing about the server.
    #[error("cannot connect: {0}")]
    CannotAsk(#[source] io::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    /// The connection was closed without an answer.
    #[error("no answer")]
    NoAnswer,
}

/// Something that passes through every worker and what serves the sessions.
#[derive(Debug)]
pub(super) enum Probe {
    /// A connection that this process has made to itself.
    Connection(Transport),
    /// A message from inside the process.
    Heartbeat(oneshot::Sender<()>),
}

/// The address of the probe that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Its port, or 0: the accept loop checks it for every connection.
    port: AtomicU16,
    address: Mutex<Option<SocketAddr>>,
}

/// Withdraws the address when the probe is over, however it ends.
struct Announced<'a>(&'a Expected);

impl<H: Handler> Prober<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, server: SocketAddr) -> Self {
        Self { shared, server }
    }

    /// Returns once the server has answered; limits only the time to connect, not the time to answer. One probe at a
    /// time: a second one replaces the first.
    ///
    /// # Errors
    /// [`ProbeError`]
    pub async fn probe(&self, longest_connect: Duration) -> Result<(), ProbeError> {
        let connected = timeout(longest_connect, self.connect()).await;
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        let connected = connected.unwrap_or_else(|_| Err(late()));
        let (mut connection, _announced) = connected.map_err(ProbeError::CannotAsk)?;
        let mut answer = [0; ANSWER.len()];
        match connection.read_exact(&mut answer).await {
            Ok(_) if answer == ANSWER => Ok(()),
            Ok(_) => Err(ProbeError::NoAnswer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ProbeError::NoAnswer),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns once the accepting thread has checked for connections, every worker has read its mailbox and what serves
    /// the sessions has worked: all that a probe shows, except that the kernel delivers connections here.
    ///
    /// # Errors
    /// [`ProbeError::NoAnswer`]
    pub async fn heartbeat(&self) -> Result<(), ProbeError> {
        let (sender, answer) = oneshot::channel();
        if let Some(first) = self.shared.mailboxes.first() {
            first.send(Message::Heartbeat(sender));
        }
        answer.await.map_err(|_| ProbeError::NoAnswer)
    }

    /// Connects in any possible way. The error is that of the first way.
    async fn connect(&self) -> io::Result<(TcpStream, Announced<'_>)> {
        let mut why = None;
        for (from, to) in ways(self.server) {
            match self.connect_from(from, to).await {
                Ok(connected) => return Ok(connected),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    async fn connect_from(&self, from: IpAddr, to: SocketAddr) -> io::Result<(TcpStream, Announced<'_>)> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(from, 0))?;
        let announced = self.shared.probe.announce(socket.local_addr()?);
        Ok((socket.connect(to).await?, announced))
    }
}

impl Expected {
    /// Whether this is the address of a probe.
    pub(super) fn is(&self, peer: SocketAddr) -> bool {
        self.port.load(Ordering::Relaxed) == peer.port() && self.is_address(peer)
    }

    /// An IPv4 client of an IPv6 socket has a mapped address.
    fn is_address(&self, peer: SocketAddr) -> bool {
        *self.address() == Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    fn announce(&self, address: SocketAddr) -> Announced<'_> {
        *self.address() = Some(address);
        self.port.store(address.port(), Ordering::Relaxed);
        Announced(self)
    }

    fn address(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.address.lock().unpoisoned()
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.port.store(0, Ordering::Relaxed);
        *self.0.address() = None;
    }
}

/// Answers a probe, once what serves the sessions has shown that it [works](Services::works).
pub(super) fn answer<H: Handler>(probe: Probe, shared: &Arc<Shared<H>>) {
    let shared = Arc::clone(shared);
    let runtime = shared.runtime.clone();
    runtime.spawn(async move {
        if !shared.services.works().await {
            return;
        }
        match probe {
            Probe::Connection(transport) => {
                if let Err(error) = transport.write(ANSWER, Then::More) {
                    tracing::debug!(%error, "cannot answer the probe: {error}");
                }
            }
            // The caller may have given up.
            Probe::Heartbeat(answer) => drop(answer.send(())),
        }
    });
}

/// The source and destination addresses by which this machine may reach a server, the likeliest first.
///
/// A server on loopback is reached from loopback; one on another address, from that address. On Linux every
/// address of 127.0.0.0/8 is this machine's own, with ports of its own.
fn ways(server: SocketAddr) -> Vec<(IpAddr, SocketAddr)> {
    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let more = MORE_SOURCES.map(IpAddr::V4);
    let at = |ip: IpAddr| SocketAddr::new(ip, server.port());
    let from = |sources: &[IpAddr], to: IpAddr| sources.iter().map(|&ip| (ip, at(to))).collect::<Vec<_>>();
    match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() || ip.is_loopback() => {
            let to = if ip.is_unspecified() { V4 } else { ip.into() };
            [from(&[V4], to), from(&more, to)].concat()
        }
        IpAddr::V4(ip) => [from(&[ip.into(), V4], ip.into()), from(&more, ip.into())].concat(),
        // Also by IPv4, unless the socket is for IPv6 alone.
        IpAddr::V6(ip) if ip.is_unspecified() => [from(&[V6], V6), from(&[V4], V4), from(&more, V4)].concat(),
        IpAddr::V6(ip) => from(&[ip.into()], ip.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_way_comes_first_and_there_are_others() {
        let first_and_number = |server: &str| {
            let ways = ways(server.parse().unwrap());
            (format!("{} {}", ways[0].0, ways[0].1), ways.len())
        };
        assert_eq!(first_and_number("0.0.0.0:1"), ("127.0.0.1 127.0.0.1:1".into(), 4));
        assert_eq!(first_and_number("127.0.0.5:1"), ("127.0.0.1 127.0.0.5:1".into(), 4));
        assert_eq!(first_and_number("192.0.2.1:1"), ("192.0.2.1 192.0.2.1:1".into(), 5));
        assert_eq!(first_and_number("[::]:1"), ("::1 [::1]:1".into(), 5));
        assert_eq!(first_and_number("[::1]:1"), ("::1 [::1]:1".into(), 1));
        assert_eq!(first_and_number("[2001:db8::1]:1"), ("2001:db8::1 [2001:db8::1]:1".into(), 1));
    }

    #[test]
    fn a_probe_by_ipv4_is_known_on_a_socket_of_ipv6() {
        let expected = Expected::default();
        let _announced = expected.announce("127.0.0.1:7".parse().unwrap());
        assert!(expected.is("[::ffff:127.0.0.1]:7".parse().unwrap()));
        assert!(!expected.is("[::ffff:127.0.0.2]:7".parse().unwrap()));
    }
}
