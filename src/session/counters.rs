//! The server's counters of logins and requests.
//!
//! Each worker counts in a block of its own, as it does of its [connections](crate::net).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::named_enum::named_enum;
use crate::net::counters::{PerWorker, add, sum};
use crate::protocol::{Refusal, RequestKind};

/// The bounds of the histograms, in nanoseconds: each about three times the one before, from 10 µs to 10 s. The last
/// bucket, which has no bound, holds everything slower.
const BOUNDS: [u64; 13] = [
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
];

/// Including the one without a bound.
const BUCKETS: usize = BOUNDS.len() + 1;

const TIMINGS: usize = RequestKind::ALL.len() * RequestOutcome::ALL.len();

/// Counters of requests since the server started. Any thread may read them.
#[derive(Debug, Default)]
pub struct RequestCounters {
    workers: PerWorker<Block>,
}

/// The counters of one worker. Only their owner writes them, which is why counting is cheap.
#[derive(Debug)]
pub struct Recorder {
    block: Arc<Block>,
}

named_enum! {
    /// The outcome of a request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum RequestOutcome {
        /// It was carried out.
        Ok = "ok",
        /// The key, space or user does not exist.
        NotFound = "not_found",
        /// The client has no permission.
        Denied = "denied",
        /// It was refused for another reason: it was invalid, the thing to create exists, the store failed.
        Error = "error",
    }
}

named_enum! {
    /// The outcome of a login.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LoginOutcome {
        /// It succeeded.
        Ok = "ok",
        /// It was refused, for any reason.
        Denied = "denied",
    }
}

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The type of the request.
    pub kind: RequestKind,
    /// Its outcome.
    pub outcome: RequestOutcome,
}

/// The values of all [`RequestCounters`], each read at a slightly different moment.
#[derive(Debug)]
pub struct RequestCounts {
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that were refused.
    pub logins_denied: u64,
    /// Requests, by each possible type and outcome.
    pub requests: Vec<Timing>,
}

/// Requests of one type and outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// The type and outcome.
    pub of: Answered,
    /// How many took at most this long and longer than the bound before, in seconds; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Their total duration.
    pub took: Duration,
}

/// Two cache lines, since processors fetch pairs of them.
#[derive(Debug)]
#[repr(align(128))]
struct Block {
    logins: [AtomicU64; LoginOutcome::ALL.len()],
    requests: [Slot; TIMINGS],
}

#[derive(Debug, Default)]
struct Slot {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl RequestCounters {
    /// A recorder for one more worker. Its counts stay when it is gone.
    pub fn recorder(&self) -> Recorder {
        Recorder { block: self.workers.add() }
    }

    /// The current values.
    pub fn read(&self) -> RequestCounts {
        let workers = self.workers.all();
        let timing = |of: Answered| {
            let bounds = BOUNDS.iter().map(|&bound| Duration::from_nanos(bound).as_secs_f64());
            let buckets = bounds.chain([f64::INFINITY]).enumerate();
            Timing {
                of,
                buckets: buckets
                    .map(|(bucket, bound)| (bound, sum(&workers, |block| &block.slot(of).buckets[bucket])))
                    .collect(),
                took: Duration::from_nanos(sum(&workers, |block| &block.slot(of).nanoseconds)),
            }
        };
        let all = RequestKind::ALL
            .into_iter()
            .flat_map(|kind| RequestOutcome::ALL.map(|outcome| Answered { kind, outcome }));
        RequestCounts {
            logins: sum(&workers, |block| &block.logins[LoginOutcome::Ok as usize]),
            logins_denied: sum(&workers, |block| &block.logins[LoginOutcome::Denied as usize]),
            requests: all.map(timing).collect(),
        }
    }
}

impl Recorder {
    /// Counts requests that arrived together, were answered together, and took this long.
    pub fn requests(&mut self, answered: &[Answered], took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < nanoseconds);
        for &of in answered {
            let slot = self.block.slot(of);
            add(&slot.buckets[bucket], 1);
            add(&slot.nanoseconds, nanoseconds);
        }
    }

    /// Counts a login.
    pub fn login(&mut self, outcome: LoginOutcome) {
        add(&self.block.logins[outcome as usize], 1);
    }
}

impl From<&Refusal> for RequestOutcome {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::KeyNotFound | Refusal::SpaceNotFound | Refusal::SpaceMissing | Refusal::UserNotFound => {
                Self::NotFound
            }
            Refusal::AuthenticationFailed
            | Refusal::ReadDenied
            | Refusal::WriteDenied
            | Refusal::AdminRequired => Self::Denied,
            _ => Self::Error,
        }
    }
}

impl Timing {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Default for Block {
    fn default() -> Self {
        Self { logins: Default::default(), requests: std::array::from_fn(|_| Slot::default()) }
    }
}

impl Block {
    fn slot(&self, Answered { kind, outcome }: Answered) -> &Slot {
        &self.requests[kind as usize * RequestOutcome::ALL.len() + outcome as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Answered = Answered { kind: RequestKind::Get, outcome: RequestOutcome::Ok };
    const INVALID: Answered = Answered { kind: RequestKind::Invalid, outcome: RequestOutcome::Error };

    fn timing(counts: &RequestCounts, of: Answered) -> Timing {
        counts.requests.iter().find(|timing| timing.of == of).unwrap().clone()
    }

    #[test]
    fn blocks_are_added_up_and_stay_when_their_workers_are_gone() {
        let counters = RequestCounters::default();
        let (mut first, mut second) = (counters.recorder(), counters.recorder());
        first.login(LoginOutcome::Ok);
        second.login(LoginOutcome::Ok);
        second.login(LoginOutcome::Denied);
        first.requests(&[FOUND, FOUND, INVALID], Duration::from_millis(2));
        second.requests(&[FOUND], Duration::from_secs(1));
        drop(second);
        let counts = counters.read();
        assert_eq!((counts.logins, counts.logins_denied), (2, 1));
        assert_eq!(timing(&counts, FOUND).count(), 3);
        assert_eq!(timing(&counts, FOUND).took, Duration::from_millis(1004));
        assert_eq!(timing(&counts, INVALID).count(), 1);
        assert_eq!(counts.requests.iter().map(Timing::count).sum::<u64>(), 4, "and nowhere else");
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let counters = RequestCounters::default();
        let mut recorder = counters.recorder();
        for nanoseconds in [0, 10_000, 10_001, 10_000_000_000, 10_000_000_001, u64::MAX] {
            recorder.requests(&[FOUND], Duration::from_nanos(nanoseconds));
        }
        let filled: Vec<_> =
            timing(&counters.read(), FOUND).buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1e-5, 2), (3e-5, 1), (10.0, 1), (f64::INFINITY, 2)]);
    }
}
