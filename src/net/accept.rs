//! Accepting: takes connections, admits or rejects them, and survives a shortage of descriptors.
//!
//! A departure counts before an arrival: a client that finds no place free is [undecided](super::undecided) until all
//! workers have taken in the hang-ups that came before it, and later arrivals queue behind it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
    set_tcp_user_timeout,
};
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

use crate::accept_fault::AcceptFault;

use super::Shared;
use super::admission::Admitted;
use super::handler::Handler;
use super::linger::Linger;
use super::rejection::Rejection;
use super::shortage::Shortage;
use super::transport::Transport;
use super::undecided::Undecided;

/// How long a client's machine may acknowledge nothing before it counts as gone, in milliseconds. If the machine's
/// address no longer resolves, the kernel shortens its pauses between retransmissions and ignores this bound for the
/// pause under way, which is 26 seconds at most: the place is free within two minutes all the same.
const GONE_AFTER: u32 = 90_000;

/// When a silent connection is probed first, and how often after that. The last probe is due at [`GONE_AFTER`].
const FIRST_PROBE: Duration = Duration::from_secs(60);
const PROBE_PAUSE: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Reserve descriptors for rejecting clients when connections have all the others.
pub(crate) const KEPT_FOR_REJECTIONS: usize = 4;

/// The longest time until a check whether one of those is free again.
const REJECTION_PAUSE: Duration = Duration::from_millis(100);

/// Connections, and clients being rejected, have all the descriptors that they may have.
#[derive(Debug, thiserror::Error)]
#[error("{open} connections are open, and {lingering} are being closed by other threads")]
struct AllTaken {
    open: u32,
    lingering: usize,
}

/// Takes connections from a listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    rejection: Rejection,
    undecided: Undecided,
    shortage: Shortage,
    /// Until when there is no point in trying.
    paused_until: Option<Instant>,
}

/// The result of accepting once.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A client, with its admission.
    Client(Admitted),
    /// This process itself, probing whether it serves.
    Probe(Transport),
    /// A client that was rejected or is gone.
    Other,
    /// No client is waiting.
    Nobody,
    /// There is no room for more undecided clients until some are decided.
    Crowded,
    /// There are no descriptors: no new try before [`Acceptor::paused_until`].
    Short,
}

impl Acceptor {
    /// Sets the options of all connections on the listener: on Linux they inherit them, which saves five system calls
    /// for each.
    ///
    /// `others` is the number of workers beside the one that accepts.
    pub(super) fn new(listener: TcpListener, others: usize) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        set_tcp_nodelay(&listener, true)?;
        // Probes detect that a silent client's machine is gone. While an answer is under way no probes are sent, and
        // without the timeout the kernel would retransmit it for a quarter of an hour.
        set_socket_keepalive(&listener, true)?;
        set_tcp_keepidle(&listener, FIRST_PROBE)?;
        set_tcp_keepintvl(&listener, PROBE_PAUSE)?;
        set_tcp_keepcnt(&listener, PROBES)?;
        set_tcp_user_timeout(&listener, GONE_AFTER)?;
        Ok(Self {
            listener,
            rejection: Rejection::default(),
            undecided: Undecided::new(others),
            shortage: Shortage::default(),
            paused_until: None,
        })
    }

    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Pauses accepting until the earlier arrivals are decided.
    pub(super) fn pause_for(&mut self, pause: Duration, now: Instant) {
        self.paused_until = Some(now + pause);
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Ends a pause that is over.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        self.paused_until.take_if(|until| *until <= now).is_some()
    }

    /// Clients that found no place free.
    pub(super) fn undecided(&mut self) -> &mut Undecided {
        &mut self.undecided
    }

    /// Accepts one connection, and admits it or queues it for rejection.
    ///
    /// # Errors
    /// The listener is no longer usable.
    pub(super) fn accept<H: Handler>(
        &mut self,
        shared: &Shared<H>,
        linger: &mut Linger,
        now: Instant,
    ) -> io::Result<Accepted> {
        if let Err(all_taken) = self.make_room(shared, linger, now) {
            if !self.undecided.is_empty() {
                // Some will be rejected within milliseconds, and can be cut off then.
                return Ok(Accepted::Crowded);
            }
            let pause = self.shortage.next_pause(&all_taken).min(REJECTION_PAUSE);
            return Ok(self.pause(now + pause));
        }
        if self.undecided.is_full() {
            return Ok(Accepted::Crowded);
        }
        match acceptfrom_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                self.shortage.relax();
                Ok(self.welcome(shared, now, socket.into(), peer))
            }
            Err(Errno::AGAIN) => {
                self.shortage.end();
                Ok(Accepted::Nobody)
            }
            Err(error) => match AcceptFault::of(error) {
                AcceptFault::Connection => {
                    tracing::debug!(%error, "a client disconnected before its connection was accepted: {error}");
                    Ok(Accepted::Other)
                }
                // Others have taken more than their share: lingering sockets go first.
                AcceptFault::Shortage if linger.cut(now) => Ok(Accepted::Other),
                AcceptFault::Shortage => {
                    let pause = self.shortage.next_pause(&error);
                    Ok(self.pause(now + pause))
                }
                AcceptFault::Listener => Err(error.into()),
            },
        }
    }

    fn welcome<H: Handler>(
        &mut self,
        shared: &Shared<H>,
        now: Instant,
        transport: Transport,
        peer: Option<SocketAddrAny>,
    ) -> Accepted {
        let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) else {
            tracing::debug!("accepted a connection without a peer address");
            return Accepted::Other;
        };
        if shared.probe.is(peer) {
            return Accepted::Probe(transport);
        }
        // A client that came by IPv4 is known by that address, whatever kind of socket it came in through.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if self.undecided.is_empty()
            && let Ok(admission) = shared.admit()
        {
            return Accepted::Client(Admitted::new(shared, transport, peer, admission));
        }
        self.undecided.push(transport, peer, now);
        Accepted::Other
    }

    /// Decides on the clients that have waited for long enough, on all if it is the `last_chance`: returns those that
    /// have a place, and rejects the others.
    pub(super) fn decide<H: Handler>(
        &mut self,
        shared: &Shared<H>,
        linger: &mut Linger,
        now: Instant,
        last_chance: bool,
    ) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        while let Some(client) = self.undecided.next(now, last_chance) {
            // Either way there may be room to accept again.
            self.paused_until = self.paused_until.map(|until| until.min(now));
            let full = match shared.admit() {
                Ok(admission) => {
                    admitted.push(Admitted::new(shared, client.transport, client.peer, admission));
                    continue;
                }
                Err(full) => full,
            };
            if client.has_hung_up() {
                let peer = client.peer;
                tracing::debug!(%peer, "the client {peer} disconnected before it was rejected");
                continue;
            }
            let client = if admitted.is_empty() || last_chance {
                client
            } else {
                // Newly admitted clients may be gone already, too.
                match self.undecided.wait_on(client, now) {
                    Ok(()) => break,
                    Err(client) => client,
                }
            };
            shared.limit.limiter().count_rejection();
            shared.turned_away.count(full.limit, client.peer.ip());
            self.rejection.send::<H>(client.transport, full.limit, linger, now);
        }
        admitted
    }

    fn pause(&mut self, until: Instant) -> Accepted {
        self.paused_until = Some(until);
        Accepted::Short
    }

    /// Makes sure that there is a descriptor for one more connection, if need be by cutting off lingering sockets:
    /// neither the next client nor the probe waits for them. The reserve is not for clients: without it the operator
    /// could not get in.
    fn make_room<H: Handler>(
        &self,
        shared: &Shared<H>,
        linger: &mut Linger,
        now: Instant,
    ) -> Result<(), AllTaken> {
        let limiter = shared.limit.limiter();
        let all = limiter.ceiling() as usize + KEPT_FOR_REJECTIONS;
        loop {
            let open = limiter.snapshot().active;
            let lingering = shared.lingering.load(Ordering::Relaxed);
            if open as usize + lingering + self.undecided.len() < all {
                return Ok(());
            }
            if !linger.cut(now) {
                return Err(AllTaken { open, lingering });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{
        socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_nodelay, tcp_user_timeout,
    };

    use super::*;

    /// Connections inherit the listener's options.
    #[test]
    fn a_connection_has_what_finds_out_that_its_client_is_gone_within_two_minutes() {
        let acceptor = Acceptor::new(TcpListener::bind("127.0.0.1:0").unwrap(), 0).unwrap();
        let address = acceptor.listener().local_addr().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        acceptor.listener().set_nonblocking(false).unwrap();
        let (accepted, _) = acceptor.listener().accept().unwrap();
        let two_minutes = Duration::from_secs(120);
        let silent = tcp_keepidle(&accepted).unwrap()
            + tcp_keepintvl(&accepted).unwrap() * tcp_keepcnt(&accepted).unwrap();
        assert!(socket_keepalive(&accepted).unwrap() && silent <= two_minutes, "{silent:?}");
        let unacknowledged = Duration::from_millis(tcp_user_timeout(&accepted).unwrap().into());
        assert!(!unacknowledged.is_zero() && unacknowledged <= two_minutes, "{unacknowledged:?}");
        assert!(tcp_nodelay(&accepted).unwrap());
    }
}
