//! The last hour of connections against the limit, a sample a second.
//!
//! The daemon takes the samples, and owns the [`Recorder`]; readers have a [`Series`], and [`ring`] stores it across a
//! restart. Memory is bounded by [`KEPT`] samples, about 115 KB. Nothing here takes a sample by itself, and no lock is
//! held for longer than it takes to copy the requested samples.

pub mod ring;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::limiter::Limiter;
use crate::unpoisoned::Unpoisoned as _;

/// How many samples are kept: one hour.
pub const KEPT: u16 = 3600;

/// The state in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The second, since 1970.
    pub second: i64,
    /// Open connections.
    pub active: u32,
    /// The limit.
    pub limit: u32,
    /// Connections admitted since the start.
    pub accepted: u64,
    /// Connections rejected since the start, because the limit was reached.
    pub rejected: u64,
}

/// Adds samples. There is one.
#[derive(Debug)]
pub struct Recorder {
    samples: Samples,
    latest: watch::Sender<Option<Sample>>,
}

/// Reads samples. A cheap handle.
#[derive(Debug, Clone)]
pub struct Series {
    samples: Samples,
    latest: watch::Receiver<Option<Sample>>,
}

#[derive(Debug, Clone)]
struct Samples(Arc<Mutex<VecDeque<Sample>>>);

/// Creates a series that begins with the samples of an earlier process, oldest first, and its recorder.
pub fn series(past: Vec<Sample>) -> (Recorder, Series) {
    let samples = Samples(Arc::new(Mutex::new(past.into())));
    let (sender, latest) = watch::channel(None);
    (Recorder { samples: samples.clone(), latest: sender }, Series { samples, latest })
}

impl Sample {
    /// A sample of `limiter` now. Active and limit are of one instant.
    pub fn take(limiter: &Limiter, now: Timestamp) -> Self {
        let (snapshot, totals) = (limiter.snapshot(), limiter.totals());
        Self {
            second: now.as_second(),
            active: snapshot.active,
            limit: snapshot.limit,
            accepted: totals.accepted,
            rejected: totals.rejected,
        }
    }
}

impl Recorder {
    /// Adds a sample. A second has only one, the last; and when the clock was set back, samples with a future time are
    /// dropped: a chart needs time to go forward.
    pub fn record(&mut self, sample: Sample) {
        let mut samples = self.samples.lock();
        while samples.back().is_some_and(|last| last.second >= sample.second) {
            samples.pop_back();
        }
        while samples.len() >= usize::from(KEPT) {
            samples.pop_front();
        }
        samples.push_back(sample);
        drop(samples);
        self.latest.send_replace(Some(sample));
    }
}

impl Series {
    /// The samples of the last `seconds` before the newest, including that one, oldest first.
    pub fn last(&self, seconds: u16) -> Vec<Sample> {
        let samples = self.samples.lock();
        let Some(newest) = samples.back() else { return Vec::new() };
        let first = samples.partition_point(|sample| sample.second <= newest.second - i64::from(seconds));
        samples.range(first..).copied().collect()
    }

    /// The second of the newest sample.
    pub fn newest(&self) -> Option<i64> {
        self.samples.lock().back().map(|newest| newest.second)
    }

    /// The samples after this second, oldest first.
    pub fn after(&self, second: i64) -> Vec<Sample> {
        let samples = self.samples.lock();
        let first = samples.partition_point(|sample| sample.second <= second);
        samples.range(first..).copied().collect()
    }

    /// The newest sample, as it changes. A slow reader misses some, which are still in the series.
    pub fn latest(&self) -> watch::Receiver<Option<Sample>> {
        self.latest.clone()
    }
}

impl Samples {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        // No code that holds this lock can panic halfway, so a poisoned queue is still consistent.
        self.0.lock().unpoisoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, active: u32) -> Sample {
        Sample { second, active, limit: 10, accepted: 0, rejected: 0 }
    }

    fn seconds(series: &Series, last: u16) -> Vec<i64> {
        series.last(last).iter().map(|sample| sample.second).collect()
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let (mut recorder, series) = series(Vec::new());
        assert_eq!(seconds(&series, KEPT), [0; 0]);
        for second in 1..=4000 {
            recorder.record(at(second, 0));
        }
        assert_eq!(seconds(&series, KEPT), (401..=4000).collect::<Vec<_>>());
        assert_eq!(seconds(&series, 1), [4000]);
        assert_eq!(*series.latest().borrow(), Some(at(4000, 0)));
    }

    #[test]
    fn seconds_are_counted_by_the_clock_and_not_by_samples() {
        let (mut recorder, series) = series(Vec::new());
        for second in [1, 2, 8, 10] {
            recorder.record(at(second, 0));
        }
        assert_eq!(seconds(&series, 3), [8, 10]);
        assert_eq!(seconds(&series, 2), [10]);
        assert_eq!(seconds(&series, 9), [2, 8, 10]);
    }

    #[test]
    fn a_second_has_one_sample_and_time_goes_forward() {
        let (mut recorder, series) = series(Vec::new());
        for sample in [at(5, 1), at(6, 2), at(6, 3), at(7, 4)] {
            recorder.record(sample);
        }
        assert_eq!(series.last(KEPT), [at(5, 1), at(6, 3), at(7, 4)]);
        recorder.record(at(6, 9));
        assert_eq!(series.last(KEPT), [at(5, 1), at(6, 9)]);
    }
}
