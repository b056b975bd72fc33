//! The coarse clock of connections.

use std::time::{Duration, Instant};

/// A point in time, in tenths of a second since the server started: as coarse as timeouts may be, and
/// small, since every connection has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ticks(u32);

impl Ticks {
    const A_SECOND: u32 = 10;

    pub(super) fn between(start: Instant, now: Instant) -> Self {
        Self(Self::count(now.saturating_duration_since(start)))
    }

    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// How many ticks there are in `duration`, rounded up.
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
    fn ticks() {
        let start = Instant::now();
        let later = Ticks::between(start, start + Duration::from_millis(1501));
        assert_eq!(later, Ticks(16), "rounded up");
        assert_eq!(later.since(Ticks(20)), 0);
        assert_eq!(Ticks::duration(later.since(Ticks(6))), Duration::from_secs(1));
        assert_eq!(Ticks::count(Duration::MAX), u32::MAX);
    }
}
