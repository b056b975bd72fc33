//! When there are lines about something that happens many times.
//!
//! The first is told at once. What follows is told as a number at every look for the first minute, and once a minute
//! from then on, until there was none for a while: a storm that lasts an hour shall not fill the log, nor be silent.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Something that happens many times. Counted by any thread, looked at by one.
#[derive(Debug)]
pub(super) struct Burst {
    rhythm: Rhythm,
    going_on: AtomicBool,
    /// Whether it began after the last look.
    just_begun: AtomicBool,
    /// Since the last look, the first of all aside.
    recent: AtomicU64,
    /// Before that, and not told yet.
    untold: AtomicU64,
    /// Looks since it began, since the last line, and since something happened.
    looks: AtomicU32,
    looks_since_line: AtomicU32,
    quiet: AtomicU32,
}

/// How often it is looked at a burst, and when it is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// So many looks are a minute.
    pub(super) looks_a_minute: u32,
    /// After so many looks that have seen none, the next is a first one again.
    pub(super) quiet_looks: u32,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untold {
    /// How many there were.
    pub(super) count: u64,
    /// In so many looks.
    pub(super) looks: u32,
}

impl Burst {
    pub(super) fn new(rhythm: Rhythm) -> Self {
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
    pub(super) fn begins(&self) -> bool {
        if self.going_on.swap(true, Ordering::Relaxed) {
            self.recent.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.just_begun.store(true, Ordering::Relaxed);
        true
    }

    /// Whether there is something to be told, or may be.
    pub(super) fn is_going_on(&self) -> bool {
        self.going_on.load(Ordering::Relaxed)
    }

    /// Looks. What is to be told now, if anything.
    pub(super) fn look(&self) -> Option<Untold> {
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
        // What came before it was quiet is told all the same, in its turn.
        burst.begins();
        let told: Vec<_> = (1..=20).filter_map(|_| burst.look()).collect();
        assert_eq!(told, [Untold { count: 1, looks: 6 }]);
        assert!(!burst.is_going_on());
    }
}
