//! The clock of a worker, and the coarse one of its connections.

use std::time::{Duration, Instant};

/// A point in time, in tenths of a second since the server started: as coarse as timeouts may be, and
/// small, since every connection has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ticks(u32);

/// The time in which a worker runs. It stands still while the process is stopped, by a signal or a debugger or with its
/// whole machine: no client is late because this server was not running.
#[derive(Debug)]
pub(super) struct Clock {
    last: Instant,
    /// How long it has stood still so far.
    paused: Duration,
}

impl Clock {
    /// How late a wait may end before the delay counts as a pause.
    const LATE: Duration = Duration::from_secs(1);

    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, paused: Duration::ZERO }
    }

    /// The time after a wait of at most `longest` that began right after the last one.
    pub(super) fn advance(&mut self, now: Instant, longest: Option<Duration>) -> Instant {
        let passed = now.saturating_duration_since(self.last);
        self.last = now;
        if let Some(longest) = longest
            && passed > longest + Self::LATE
        {
            self.paused += passed - longest;
        }
        now.checked_sub(self.paused).unwrap_or(now)
    }
}

impl Ticks {
    const A_SECOND: u32 = 10;

    pub(super) fn between(start: Instant, now: Instant) -> Self {
        Self(Self::count(now.saturating_duration_since(start)))
    }

    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// The ticks in `duration`, rounded up.
    pub(super) fn count(duration: Duration) -> u32 {
        let ticks = duration.as_millis().div_ceil(u128::from(1000 / Self::A_SECOND));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    pub(super) fn duration(ticks: u32) -> Duration {
        Duration::from_millis(u64::from(ticks) * u64::from(1000 / Self::A_SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_not_counted_and_a_long_wait_is() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut clock = Clock::new(start);
        assert_eq!(clock.advance(start + second, Some(second)), start + second);
        assert_eq!(clock.advance(start + 3 * second, Some(second)), start + 3 * second, "a little late");
        assert_eq!(clock.advance(start + 100 * second, None), start + 100 * second, "it had no end");
        assert_eq!(clock.advance(start + 200 * second, Some(second)), start + 101 * second);
        assert_eq!(clock.advance(start + 201 * second, Some(second)), start + 102 * second, "it goes on");
    }

    #[test]
    fn ticks() {
        let start = Instant::now();
        let later = Ticks::between(start, start + Duration::from_millis(1501));
        assert_eq!(later, Ticks(16), "rounded up");
        assert_eq!(later.since(Ticks(20)), 0);
        assert_eq!(Ticks::duration(later.since(Ticks(6))), Duration::from_secs(1));
        assert_eq!(Ticks::count(Duration::MAX), u32::MAX);
    }
}
