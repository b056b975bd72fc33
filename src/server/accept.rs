//! Accepting: takes connections, admits them or turns them away, and survives a shortage of descriptors.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
    set_tcp_user_timeout,
};
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

use crate::limiter::Permit;

use super::Shared;
use super::full::Rejection;
use super::linger::Linger;

/// How long a client's machine may acknowledge nothing until it counts as gone, in milliseconds: less than two
/// minutes, so that the place is free by then.
const GONE_AFTER: u32 = 110_000;

/// When a silent connection is probed first, and how often after that. The last probe is due at [`GONE_AFTER`].
const FIRST_PROBE: Duration = Duration::from_secs(60);
const PROBE_PAUSE: Duration = Duration::from_secs(10);
const PROBES: u32 = 5;

/// The first pause when descriptors or memory are short. Doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Descriptors of the reserve that are for turning clients away when connections have all others.
pub(crate) const KEPT_FOR_REJECTIONS: usize = 4;

/// The longest time until a look whether one of those is free again.
const REJECTION_PAUSE: Duration = Duration::from_millis(100);

/// What an error of accept means.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// That one connection's own: the next may be fine.
    Connection,
    /// No descriptors or memory now: later there may be.
    Shortage,
    /// The listener's: nothing will ever come of it again.
    Listener,
}

/// A time without descriptors, from its first sign until nobody is waiting to be accepted.
#[derive(Debug, Default)]
struct Shortage {
    pause: Option<Duration>,
}

/// Connections, and those that are being turned away, have all the descriptors that they may have.
#[derive(Debug, thiserror::Error)]
#[error("{open} connections are open, and {lingering} are being closed")]
struct AllTaken {
    open: u32,
    lingering: usize,
}

/// Takes connections from a listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    rejection: Rejection,
    shortage: Shortage,
    /// Until when there is no point in trying.
    paused_until: Option<Instant>,
}

/// A connection that was admitted.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) id: u64,
    pub(super) socket: OwnedFd,
    pub(super) peer: SocketAddr,
    pub(super) permit: Permit,
}

/// What came of accepting once.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A client, with a permit.
    Client(Arrival),
    /// This process itself, asking whether it serves.
    Probe(OwnedFd),
    /// Somebody who was turned away, or is gone.
    Other,
    /// Nobody waits.
    Nobody,
    /// There are no descriptors: not to be tried before [`Acceptor::paused_until`].
    Short,
}

impl Acceptor {
    /// Sets on the listener what every connection is to have: on Linux they inherit it, which saves five
    /// system calls for each.
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        set_tcp_nodelay(&listener, true)?;
        // Probes find out that a silent client's machine is gone. While an answer is on its way none are
        // sent, and the kernel would send it again and again for a quarter of an hour, but for the timeout.
        set_socket_keepalive(&listener, true)?;
        set_tcp_keepidle(&listener, FIRST_PROBE)?;
        set_tcp_keepintvl(&listener, PROBE_PAUSE)?;
        set_tcp_keepcnt(&listener, PROBES)?;
        set_tcp_user_timeout(&listener, GONE_AFTER)?;
        Ok(Self {
            listener,
            rejection: Rejection::default(),
            shortage: Shortage::default(),
            paused_until: None,
        })
    }

    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Ends a pause that is over.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        self.paused_until.take_if(|until| *until <= now).is_some()
    }

    /// Accepts one connection, and gives it a permit or turns it away.
    ///
    /// # Errors
    /// The listener is of no use any more.
    pub(super) fn accept(
        &mut self,
        shared: &Shared,
        linger: &mut Linger,
        now: Instant,
    ) -> io::Result<Accepted> {
        if let Err(all_taken) = room(shared, linger, now) {
            let pause = self.shortage.next_pause(&all_taken).min(REJECTION_PAUSE);
            return Ok(self.pause(now + pause));
        }
        match acceptfrom_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                self.shortage.relax();
                Ok(self.welcome(shared, linger, now, socket, peer))
            }
            Err(Errno::AGAIN) => {
                self.shortage.end();
                Ok(Accepted::Nobody)
            }
            Err(error) => match Fault::of(error) {
                Fault::Connection => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                    Ok(Accepted::Other)
                }
                Fault::Shortage => {
                    let pause = self.shortage.next_pause(&error);
                    Ok(self.pause(now + pause))
                }
                Fault::Listener => Err(error.into()),
            },
        }
    }

    fn welcome(
        &mut self,
        shared: &Shared,
        linger: &mut Linger,
        now: Instant,
        socket: OwnedFd,
        peer: Option<SocketAddrAny>,
    ) -> Accepted {
        let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) else {
            tracing::debug!("a connection came without an address");
            return Accepted::Other;
        };
        if shared.probe.is(peer) {
            return Accepted::Probe(socket);
        }
        match shared.services.limiter.try_acquire() {
            Ok(permit) => {
                // One who came by IPv4 is known by that address, whatever kind of socket it came in through.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let id = shared.ids.fetch_add(1, Ordering::Relaxed);
                Accepted::Client(Arrival { id, socket, peer, permit })
            }
            Err(full) => {
                shared.turned_away.count(full);
                self.rejection.send(socket, full, linger, now);
                Accepted::Other
            }
        }
    }

    fn pause(&mut self, until: Instant) -> Accepted {
        self.paused_until = Some(until);
        Accepted::Short
    }
}

/// Whether there is a descriptor for one more connection. What is in the reserve is not for clients:
/// without it the operator could not get in.
fn room(shared: &Shared, linger: &mut Linger, now: Instant) -> Result<(), AllTaken> {
    let limiter = &shared.services.limiter;
    let all = limiter.ceiling() as usize + KEPT_FOR_REJECTIONS;
    let taken = || {
        let open = limiter.snapshot().active;
        let lingering = shared.lingering.load(Ordering::Relaxed);
        if open as usize + lingering < all { Ok(()) } else { Err(AllTaken { open, lingering }) }
    };
    taken().or_else(|_| {
        linger.sweep(now);
        taken()
    })
}

impl Fault {
    fn of(error: Errno) -> Self {
        match error {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Self::Shortage,
            // Linux passes on errors of the network that are already pending on the new socket.
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::TIMEDOUT => Self::Connection,
            _ => Self::Listener,
        }
    }
}

impl Shortage {
    /// Notes a sign of it, and says how long to wait before the next attempt.
    fn next_pause(&mut self, sign: &dyn fmt::Display) -> Duration {
        let pause = match self.pause {
            None => {
                tracing::error!(error = %sign,
                    "cannot accept connections for now: out of descriptors or memory");
                FIRST_PAUSE
            }
            Some(pause) => (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        };
        self.pause = Some(pause);
        pause
    }

    /// Notes that a connection was accepted. The next may not be.
    fn relax(&mut self) {
        self.pause = self.pause.map(|_| Duration::ZERO);
    }

    /// Notes that nobody is waiting. Without a descriptor to spare, the kernel does not even say that.
    fn end(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("connections are accepted again");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{
        socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_nodelay, tcp_user_timeout,
    };

    use super::*;

    /// The kernel gives a connection what its listener has.
    #[test]
    fn a_connection_has_what_finds_out_that_its_client_is_gone_within_two_minutes() {
        let acceptor = Acceptor::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
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

    #[test]
    fn errors_are_sorted() {
        assert_eq!(Fault::of(Errno::CONNABORTED), Fault::Connection);
        assert_eq!(Fault::of(Errno::MFILE), Fault::Shortage);
        assert_eq!(Fault::of(Errno::BADF), Fault::Listener);
        assert_eq!(Fault::of(Errno::INVAL), Fault::Listener);
    }

    #[test]
    fn pauses_grow_to_a_second_and_start_afresh() {
        let mut shortage = Shortage::default();
        let pauses: Vec<_> = (0..9).map(|_| shortage.next_pause(&Errno::MFILE).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        shortage.relax();
        assert_eq!(shortage.next_pause(&Errno::MFILE), FIRST_PAUSE);
        shortage.end();
        assert_eq!(shortage.next_pause(&Errno::NFILE), FIRST_PAUSE);
    }
}
