//! How large the store is, and what it has done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::shared::Shared;

/// What [`Store::stats`](super::Store::stats) says. The counts are since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// What is on disk and how much, as it was about a second ago: unknown while the engine is not open.
    pub contents: Option<Contents>,
    /// Spaces.
    pub spaces: usize,
    /// Commits that were tried. Each is for all writes that had queued up.
    pub commits: u64,
    /// Those of them that failed, and syncs that failed.
    pub failures: u64,
    /// Changes of single keys that were committed, those of users and other things of our own among them.
    pub writes: u64,
    /// Whether writes are accepted: not after a failure, until the store has recovered from it.
    pub writable: bool,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Bytes on disk, journals included.
    pub bytes: u64,
    /// How many keys there are, estimated: one that was written again or deleted counts once more until the
    /// engine has compacted it away.
    pub keys: usize,
}

/// What the committer counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    commits: AtomicU64,
    failures: AtomicU64,
    writes: AtomicU64,
    failing: AtomicBool,
}

impl Shared {
    pub(super) fn stats(&self) -> Stats {
        let tally = &self.tally;
        Stats {
            contents: self.is_open().then(|| *self.contents()).flatten(),
            spaces: self.spaces().len(),
            commits: tally.commits(),
            failures: tally.failures.load(Ordering::Relaxed),
            writes: tally.writes.load(Ordering::Relaxed),
            writable: !tally.failing.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// Has a look at what is stored, for whoever asks later and may not wait for the disk.
    pub(super) fn look_at_contents(&self) {
        if let Ok(contents) = self.with_engine(|engine| Ok(engine.contents()?)) {
            *self.contents() = Some(contents);
        }
    }
}

impl Tally {
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// A commit of so many writes was tried.
    pub(super) fn commit(&self, writes: usize, succeeded: bool) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if succeeded {
            self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        }
    }

    /// Something failed: writes are refused until [`Tally::recover`].
    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// Writes are accepted again.
    pub(super) fn recover(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}
