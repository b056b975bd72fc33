//! Rate limit for log lines about an event that occurs many times.
//!
//! The first event has a line at once. Later events are reported as a count: at every look for the first minute, and
//! once a minute after that, until none occurred for a while. So an hour of events neither fills the log nor is missing
//! from it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::peers::Peers;

/// An event that clients cause many times, with the addresses that cause it most often.
#[derive(Debug)]
pub(crate) struct Storm {
    burst: Burst,
    peers: Peers,
}

/// An event that occurs many times. Any thread may count it; one thread looks at it.
#[derive(Debug)]
struct Burst {
    rhythm: Rhythm,
    going_on: AtomicBool,
    /// Whether it began after the last look.
    just_begun: AtomicBool,
    /// Events since the last look, except the first of the burst.
    recent: AtomicU64,
    /// Earlier events that are not reported yet.
    untold: AtomicU64,
    /// Looks since the burst began, since the last line, and since the last event.
    looks: AtomicU32,
    looks_since_line: AtomicU32,
    quiet: AtomicU32,
}

/// How often a burst is looked at, and when it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// The number of looks in a minute.
    pub(super) looks_a_minute: u32,
    /// After this many looks without an event, the burst is over and the next event is a first one.
    pub(super) quiet_looks: u32,
}

/// The count to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untold {
    /// How many there were.
    pub(crate) count: u64,
    /// The number of looks in which they occurred.
    pub(super) looks: u32,
}

impl Storm {
    pub(crate) fn new(rhythm: Rhythm) -> Self {
        Self { burst: Burst::new(rhythm), peers: Peers::default() }
    }

    /// Counts an event that a client at `peer` caused. Whether it is the first, which has its own line.
    pub(crate) fn begins(&self, peer: IpAddr) -> bool {
        self.peers.count(peer);
        let is_first = self.burst.begins();
        if is_first {
            self.peers.take_recent(0);
        }
        is_first
    }

    /// Whether there are, or may soon be, events to report.
    pub(crate) fn is_going_on(&self) -> bool {
        self.burst.is_going_on()
    }

    /// Performs a look. Returns the count to report now, if there is one, and the busiest addresses in words.
    pub(crate) fn look(&self) -> Option<(Untold, String)> {
        let untold = self.burst.look()?;
        Some((untold, self.peers.named_recent()))
    }

    /// The addresses of all events.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }
}

impl Burst {
    fn new(rhythm: Rhythm) -> Self {
        Self {
            rhythm,
            going_on: AtomicBool::default(),
            just_begun: AtomicBool::default(),
            recent: AtomicU64::default(),
            untold: AtomicU64::default(),
            looks: AtomicU32::default(),
            looks_since_line: AtomicU32::default(),
            quiet: AtomicU32::default(),
        }
    }

    /// Counts one. Whether it is the first.
    fn begins(&self) -> bool {
        if self.going_on.swap(true, Ordering::Relaxed) {
            self.recent.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.just_begun.store(true, Ordering::Relaxed);
        true
    }

    fn is_going_on(&self) -> bool {
        self.going_on.load(Ordering::Relaxed)
    }

    /// Performs a look. Returns the count to report now, if there is one.
    fn look(&self) -> Option<Untold> {
        if !self.is_going_on() {
            return None;
        }
        let next = |looks: &AtomicU32| looks.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let recent = self.recent.swap(0, Ordering::Relaxed);
        let untold = self.untold.fetch_add(recent, Ordering::Relaxed) + recent;
        let (looks, since_line) = (next(&self.looks), next(&self.looks_since_line));
        let quiet = next(&self.quiet);
        if self.just_begun.swap(false, Ordering::Relaxed) || recent > 0 {
            self.quiet.store(0, Ordering::Relaxed);
        } else if quiet >= self.rhythm.quiet_looks && untold == 0 {
            for looks in [&self.looks, &self.looks_since_line, &self.quiet] {
                looks.store(0, Ordering::Relaxed);
            }
            self.going_on.store(false, Ordering::Relaxed);
            return None;
        }
        let is_due = looks <= self.rhythm.looks_a_minute || since_line >= self.rhythm.looks_a_minute;
        if untold == 0 || !is_due {
            return None;
        }
        self.untold.store(0, Ordering::Relaxed);
        self.looks_since_line.store(0, Ordering::Relaxed);
        Some(Untold { count: untold, looks: since_line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst() -> Burst {
        Burst::new(Rhythm { looks_a_minute: 6, quiet_looks: 2 })
    }

    #[test]
    fn the_first_is_told_then_numbers_until_it_is_quiet() {
        let burst = burst();
        assert_eq!(burst.look(), None);
        assert!(burst.begins() && !burst.begins() && !burst.begins());
        assert_eq!(burst.look(), Some(Untold { count: 2, looks: 1 }));
        assert!(!burst.begins(), "it goes on");
        assert_eq!(burst.look(), Some(Untold { count: 1, looks: 1 }));
        assert_eq!(burst.look(), None);
        assert!(!burst.begins(), "a pause of one look is none");
        assert_eq!(burst.look(), Some(Untold { count: 1, looks: 2 }));
        assert_eq!((burst.look(), burst.look()), (None, None));
        assert!(!burst.is_going_on());
        assert!(burst.begins(), "it was quiet");
    }

    #[test]
    fn after_a_minute_there_is_a_line_a_minute_and_nothing_is_lost() {
        let burst = burst();
        burst.begins();
        let told: Vec<_> = (1..=30)
            .filter_map(|look| {
                burst.begins();
                burst.look().map(|untold| (look, untold.count, untold.looks))
            })
            .collect();
        let minute = (1..=6).map(|look| (look, 1, 1));
        assert_eq!(told, minute.chain([(12, 6, 6), (18, 6, 6), (24, 6, 6), (30, 6, 6)]).collect::<Vec<_>>());
        // Events from before the quiet time are still reported in the next line.
        burst.begins();
        let told: Vec<_> = (1..=20).filter_map(|_| burst.look()).collect();
        assert_eq!(told, [Untold { count: 1, looks: 6 }]);
        assert!(!burst.is_going_on());
    }
}
