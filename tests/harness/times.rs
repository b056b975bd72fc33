//! Durations. They depend on the machine and its load, so they are printed (`--nocapture`) and asserted only on
//! demand.

use std::env;
use std::time::{Duration, Instant};

/// Prints the duration of `what`. Asserts that it was at most `bound` only under `SHIBUDB_TEST_TIMES=1`, which is for
/// an otherwise idle machine, with `--test-threads=1`.
#[track_caller]
pub(crate) fn within(what: &str, took: Duration, bound: Duration) {
    println!("{what}: {took:.1?}, meant to be {bound:?} at most");
    let asserted = env::var_os("SHIBUDB_TEST_TIMES").is_some_and(|value| value == "1");
    assert!(!asserted || took <= bound, "{what}: {took:.1?}");
}

/// A set of durations.
#[derive(Debug, Default)]
pub(crate) struct Times(pub(crate) Vec<Duration>);

impl Times {
    pub(crate) fn measure<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = what();
        self.0.push(start.elapsed());
        result
    }

    /// The duration that `percent` percent did not exceed.
    pub(crate) fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    /// Prints their number and distribution.
    pub(crate) fn report(&mut self, what: &str) {
        let [median, most, slowest] = [50, 99, 100].map(|percent| self.percentile(percent));
        println!(
            "{what}: {}, median {median:.1?}, 99 % within {most:.1?}, slowest {slowest:.1?}",
            self.0.len()
        );
    }
}
