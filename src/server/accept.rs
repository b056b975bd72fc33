//! The accept loop: takes connections in batches, admits or turns away, and survives a shortage of descriptors.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::full::Rejection;
use super::probe;
use super::registry::Registered;
use super::session::Session;

/// Connections taken before other tasks of this thread get their turn.
const BATCH: usize = 64;

/// The first pause when descriptors or memory are short. Doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Descriptors of the reserve that are for turning clients away when connections have all others.
const KEPT_FOR_REJECTIONS: usize = 4;

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

/// Sets on the listener what every connection is to have: on Linux they inherit it, which saves five
/// system calls for each.
pub(super) fn prepare(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    set_tcp_nodelay(listener, true)?;
    // A client whose machine is gone is noticed after two minutes, so it cannot keep its place for ever.
    set_socket_keepalive(listener, true)?;
    set_tcp_keepidle(listener, Duration::from_secs(60))?;
    set_tcp_keepintvl(listener, Duration::from_secs(10))?;
    set_tcp_keepcnt(listener, 6)?;
    Ok(())
}

/// Accepts until `stop`.
///
/// # Errors
/// The listener is of no use any more.
pub(super) async fn run(
    listener: AsyncFd<TcpListener>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut rejection = Rejection::default();
    let mut shortage = Shortage::default();
    loop {
        let mut ready = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            ready = listener.readable() => ready?,
        };
        let mut pause = None;
        for _ in 0..BATCH {
            if let Err(all_taken) = room(&shared) {
                pause = Some(shortage.next_pause(&all_taken).min(REJECTION_PAUSE));
                break;
            }
            match acceptfrom_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => {
                    shortage.relax();
                    welcome(&shared, &mut rejection, socket, peer);
                }
                Err(Errno::AGAIN) => {
                    shortage.end();
                    ready.clear_ready();
                    break;
                }
                Err(error) => match Fault::of(error) {
                    Fault::Connection => {
                        tracing::debug!(%error, "a connection was gone before it was accepted")
                    }
                    Fault::Shortage => {
                        pause = Some(shortage.next_pause(&error));
                        break;
                    }
                    Fault::Listener => return Err(error.into()),
                },
            }
        }
        drop(ready);
        match pause {
            None => tokio::task::yield_now().await,
            Some(pause) => tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            },
        }
    }
}

/// Whether there is a descriptor for one more connection. What is in the reserve is not for clients:
/// without it the operator could not get in.
fn room(shared: &Shared) -> Result<(), AllTaken> {
    let limiter = &shared.services.limiter;
    let all = limiter.ceiling() as usize + KEPT_FOR_REJECTIONS;
    let taken = || {
        let (open, lingering) = (limiter.snapshot().active, shared.linger.len());
        if open as usize + lingering < all { Ok(()) } else { Err(AllTaken { open, lingering }) }
    };
    taken().or_else(|_| {
        shared.linger.sweep();
        taken()
    })
}

/// Gives the connection a session if there is a place for it, and turns it away if not.
fn welcome(shared: &Arc<Shared>, rejection: &mut Rejection, socket: OwnedFd, peer: Option<SocketAddrAny>) {
    let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) else {
        tracing::debug!("a connection came without an address");
        return;
    };
    if shared.probe.is(peer) {
        drop(shared.sessions.spawn(probe::answer(socket, Arc::clone(shared))));
        return;
    }
    let permit = match shared.services.limiter.try_acquire() {
        Ok(permit) => permit,
        Err(full) => {
            shared.counters.reject();
            shared.turned_away.count(full);
            rejection.send(socket, full, &shared.linger);
            return;
        }
    };
    match TcpStream::from_std(socket.into()) {
        Ok(socket) => {
            shared.counters.accept();
            let registered = Registered::new(Arc::clone(shared), socket, peer);
            let session = Session::new(registered, permit);
            drop(shared.sessions.spawn(session.run_guarded()));
        }
        Err(error) => tracing::warn!(%peer, %error, "cannot watch a connection: it is closed"),
    }
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
    use super::*;

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
