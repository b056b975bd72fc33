//! How long the committer has been waiting for the disk.
//!
//! A committer within a call to the disk is not stuck: a restart of the server repairs no disk. So that the watchdog
//! can distinguish the two, the committer marks the beginning and the end of such calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whether a call to the disk is under way, and since when.
#[derive(Debug)]
pub(super) struct DiskWait {
    /// The origin of the milliseconds.
    epoch: Instant,
    /// When the call began, in milliseconds plus one; 0 while there is none.
    since: AtomicU64,
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Call<'a>(&'a DiskWait);

impl Default for DiskWait {
    fn default() -> Self {
        Self { epoch: Instant::now(), since: AtomicU64::new(0) }
    }
}

impl DiskWait {
    /// Begins a call. For one thread only, and not within another call.
    pub(super) fn call(&self) -> Call<'_> {
        self.since.store(self.milliseconds() + 1, Ordering::Relaxed);
        Call(self)
    }

    /// How long the current call has taken; `None` if there is none.
    pub(super) fn duration(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.milliseconds().saturating_sub(since)))
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.since.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_from_its_beginning_to_its_end() {
        let wait = DiskWait::default();
        assert_eq!(wait.duration(), None);
        let call = wait.call();
        assert!(wait.duration().is_some());
        drop(call);
        assert_eq!(wait.duration(), None);
    }
}
