//! A time without descriptors or memory for another connection: how it is recognized, and how long accepting pauses.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;

/// The first pause when descriptors or memory are short. Doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an error of accept means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// That one connection's own: the next may be fine.
    Connection,
    /// No descriptors or memory now: later there may be.
    Shortage,
    /// The listener's: nothing will ever come of it again.
    Listener,
}

/// A time without descriptors, from its first sign until nobody is waiting to be accepted.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    pause: Option<Duration>,
}

impl Fault {
    pub(super) fn of(error: Errno) -> Self {
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
    pub(super) fn next_pause(&mut self, sign: &dyn fmt::Display) -> Duration {
        let pause = match self.pause {
            None => {
                tracing::error!(error = %sign,
                    "cannot accept connections for now: out of descriptors or memory ({sign})");
                FIRST_PAUSE
            }
            Some(pause) => (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        };
        self.pause = Some(pause);
        pause
    }

    /// Notes that a connection was accepted. The next may not be.
    pub(super) fn relax(&mut self) {
        self.pause = self.pause.map(|_| Duration::ZERO);
    }

    /// Notes that nobody is waiting. Without a descriptor to spare, the kernel does not even say that.
    pub(super) fn end(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("accepting connections again");
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
