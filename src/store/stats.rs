//! The size of the store, and its work.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use super::shared::Shared;
use crate::unpoisoned::Unpoisoned as _;

/// The result of [`Store::stats`](super::Store::stats). The counts are since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// What is on disk and how much, as of about a second ago: `None` while the engine is not open.
    pub contents: Option<Contents>,
    /// Spaces.
    pub spaces: usize,
    /// Commits that were tried. Each covers all writes queued by then.
    pub commits: u64,
    /// Those of them that failed, and syncs that failed.
    pub failures: u64,
    /// Changes of single keys that were committed, including users and the store's own entries.
    pub writes: u64,
    /// Why writes are refused; `None` while they are accepted.
    pub trouble: Option<Trouble>,
}

/// Why the store refuses writes: an operation failed, and the store has not recovered yet. It retries by itself.
/// `Display` gives the text without the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// Whether the only problem is a full disk, or a full quota of its user.
    pub disk_full: bool,
    /// The latest error of the system or the engine.
    pub reason: Arc<str>,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Bytes on disk, journals included.
    pub bytes: u64,
    /// The number of keys, estimated: one that was rewritten or deleted counts once more until the engine has compacted
    /// it away.
    pub keys: usize,
    /// The disk that they are on; `None` if the system does not report it.
    pub disk: Option<Disk>,
}

/// The file system of the data directory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The total size.
    pub size: u64,
    /// The part that the server may still use.
    pub available: u64,
}

/// The committer's counters.
#[derive(Debug, Default)]
pub(super) struct Tally {
    commits: AtomicU64,
    failures: AtomicU64,
    writes: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
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
            trouble: tally.trouble().clone(),
        }
    }
}

impl Shared {
    /// Records what is stored, for later callers that may not wait for the disk.
    pub(super) fn look_at_contents(&self) {
        if let Ok(contents) = self.with_engine(|engine| Ok(engine.contents()?)) {
            *self.contents() = Some(Contents { disk: self.disk(), ..contents });
        }
    }

    /// Waits for the disk.
    pub(super) fn disk(&self) -> Option<Disk> {
        let found = rustix::fs::statvfs(&self.dir).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some(Disk { size: bytes(found.f_blocks), available: bytes(found.f_bavail) })
    }
}

impl Tally {
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// A commit of this many writes was tried.
    pub(super) fn commit(&self, writes: usize, succeeded: bool) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if succeeded {
            self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        }
    }

    /// Something failed: writes are refused until [`Tally::recover`].
    pub(super) fn fail(&self, disk_full: bool, reason: Arc<str>) -> Trouble {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.trouble_is(disk_full, reason)
    }

    /// The trouble continues, possibly with another reason.
    pub(super) fn trouble_is(&self, disk_full: bool, reason: Arc<str>) -> Trouble {
        let mut trouble = self.trouble();
        let since = trouble.as_ref().map_or_else(Timestamp::now, |trouble| trouble.since);
        trouble.insert(Trouble { since, disk_full, reason }).clone()
    }

    /// Writes are accepted again. Returns the trouble that has ended.
    pub(super) fn recover(&self) -> Option<Trouble> {
        self.trouble().take()
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unpoisoned()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = match self.disk_full {
            true => "there is free space",
            false => "the store has recovered, which it retries automatically",
        };
        write!(f, "{}; writes are refused until {until}; reads, logins and management continue", self.reason)
    }
}
