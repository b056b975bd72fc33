//! The embedded engine, reduced to what this room needs: open, get, commit, sync, free space.
//!
//! Only this file names the engine's types, and it translates the engine's errors into the store's own. A different
//! engine would need a different version of this file, of `journal/` and of `whole.rs`, which know this one's file
//! formats.
//!
//! The file is a little long for that reason.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::layout::{self, Deleted};
use super::manifest::{Facts, Journal};
use super::stats::Contents;
use super::{EngineError, Entry, StoreError, Value, journal, whole};

/// The engine's files, inside the data directory.
const FOLDER: &str = "store";
/// Where they are created. The engine cannot open a store that was not created completely, so it gets its name last.
const FOLDER_BEING_MADE: &str = "store.new";
/// The one keyspace; see [`layout`].
const KEYSPACE: &str = "keys";

/// Small: `cache.rs` keeps what is read often.
const BLOCK_CACHE: u64 = 16 << 20;
/// A larger memtable is searched and freed more slowly: with 16 MB the worst of many writes took 34 ms instead of 18.
const MEMTABLE: u64 = 8 << 20;
/// Beyond this much journal the oldest is flushed away, so that a restart has little to replay.
const JOURNALS: u64 = 128 << 20;
/// How many tables of 64 MB stay open; any other is opened for each read, which costs that read a few microseconds. The
/// engine's own default is 900, whatever else the process may have open.
const TABLES: usize = 8;
/// The files that the engine may have open beside tables for reading: its lock, its journals (2 full ones make up
/// [`JOURNALS`], one is being written and one replaced), the journal once more, to write zeros ahead of it, and what a
/// compaction merges and writes.
const OTHER_FILES: usize = 1 + 4 + 1 + 8;

/// The most files that the engine has open.
pub(super) const MOST_FILES: usize = TABLES + OTHER_FILES;

/// One flushes while the other compacts.
const WORKERS: usize = 2;

/// The engine itself halts a writer at 4 sealed memtables or 30 runs, and it sleeps there for ever if the workers that
/// should relieve it are dead. We wait earlier, and check whether they live.
const SEALED_MAX: usize = 2;
const RUNS_MAX: usize = 20;

/// Up to this size a deletion is followed by a compaction of everything. Beyond it, tables that held nothing else go at
/// once, and ordinary compactions remove the rest.
const COMPACT_WHOLE_MAX: u64 = 1 << 30;

/// An open engine. All its clones must be dropped before the same directory can be opened again.
#[derive(Clone)]
pub(super) struct Engine {
    database: Database,
    keys: Keyspace,
    deleted: Arc<Deleted>,
}

/// An engine that was just opened.
pub(super) struct Opened {
    pub(super) engine: Engine,
    /// The newest journal, as found by the check before the engine was opened.
    pub(super) journal: Option<Journal>,
}

/// Bytes as the engine keeps them: clones share them.
pub(super) type Bytes = fjall::Slice;

/// Changes to be applied together: a key and its new value, or none if it is deleted.
pub(super) type Changes = Vec<(Bytes, Option<Bytes>)>;

impl Engine {
    /// Opens the store in `dir`, or creates it if `dir` has no record of one.
    ///
    /// What it holds may not be on the disk yet: a killed process may have left it behind unsynced. Until it is
    /// [synced](Self::sync), no client may be told that it is durable.
    ///
    /// # Errors
    /// The engine cannot open it, or something that it once held is missing.
    pub(super) fn open(
        dir: &Path,
        deleted: &Arc<Deleted>,
        known: Option<&Facts>,
    ) -> Result<Opened, StoreError> {
        let folder = folder(dir);
        let journal = if folder.try_exists().map_err(EngineError::Disk)? {
            whole::check(&folder)?;
            journal::check(&folder, known)?
        } else if known.is_some() {
            return Err(StoreError::Missing { path: folder.into() });
        } else {
            Self::make(dir, deleted).map_err(failed)?;
            None
        };
        let engine = Self::try_open(&folder, deleted).map_err(failed)?;
        Ok(Opened { engine, journal })
    }

    /// Creates an empty store: all of it, or nothing that stands in the way of the next attempt.
    ///
    /// It leaves out the journal, which holds nothing yet. The engine creates another when it opens the store, and a
    /// journal that it has just created has [room behind its end](super::journal_prealloc); one that it finds has none.
    fn make(dir: &Path, deleted: &Arc<Deleted>) -> Result<(), fjall::Error> {
        let being_made = dir.join(FOLDER_BEING_MADE);
        match fs::remove_dir_all(&being_made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Self::try_open(&being_made, deleted)?.database.persist(PersistMode::SyncAll)?;
        for (_, path) in journal::journals(&being_made)? {
            fs::remove_file(path)?;
        }
        fs::rename(&being_made, folder(dir))?;
        Ok(fs::File::open(dir)?.sync_all()?)
    }

    fn try_open(folder: &Path, deleted: &Arc<Deleted>) -> Result<Self, fjall::Error> {
        let filter = Arc::new(LeaveOutDeleted { deleted: Arc::clone(deleted) });
        let database = Database::builder(folder)
            .cache_size(BLOCK_CACHE)
            .max_journaling_size(JOURNALS)
            .worker_threads(WORKERS)
            .max_cached_files(Some(TABLES))
            .with_compaction_filter_factories(Arc::new(
                move |_| Some(Arc::clone(&filter) as Arc<dyn Factory>),
            ))
            .open()?;
        let keys =
            database.keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE))?;
        Ok(Self { database, keys, deleted: Arc::clone(deleted) })
    }

    /// Rewrites the journals, so that what a failed sync left in doubt is either on disk or reported. The engine must
    /// be closed.
    pub(super) fn rewrite_journals(dir: &Path) -> io::Result<()> {
        journal::rewrite_all(&folder(dir))
    }

    /// How many bytes of free space that needs.
    pub(super) fn room_to_rewrite(dir: &Path) -> io::Result<u64> {
        journal::room_to_rewrite(&folder(dir))
    }

    pub(super) fn get(&self, full_key: &[u8]) -> Result<Option<Value>, StoreError> {
        Ok(self.keys.get(full_key).map_err(failed)?.map(Value))
    }

    pub(super) fn contains(&self, full_key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.keys.contains_key(full_key).map_err(failed)?)
    }

    pub(super) fn contents(&self) -> Result<Contents, EngineError> {
        let bytes = self.database.disk_space().map_err(failed)?;
        Ok(Contents { bytes, keys: self.keys.approximate_len(), disk: None })
    }

    /// All entries whose key begins with `prefix`; the keys are returned without it.
    pub(super) fn entries(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for entry in self.keys.prefix(prefix) {
            let (key, value) = entry.into_inner().map_err(failed)?;
            entries.push((key.get(prefix.len()..).unwrap_or_default().to_vec(), value.to_vec()));
        }
        Ok(entries)
    }

    /// Applies changes, all or none. With `sync` they are on disk before any reader sees them. No key may occur twice:
    /// all get the same sequence number.
    pub(super) fn commit(&self, changes: Changes, sync: bool) -> Result<(), EngineError> {
        self.wait_for_room()?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), changes.len())
            .durability(Some(mode));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keys, key, value),
                None => batch.remove(&self.keys, key),
            }
        }
        batch.commit().map_err(failed)
    }

    /// Syncs what was committed without a sync.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    /// Whether the engine still accepts writes. After one failed write or sync, or one failed flush in the background,
    /// it never does again: it must be reopened.
    fn check_alive(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::Buffer).map_err(failed)
    }

    fn wait_for_room(&self) -> Result<(), EngineError> {
        while self.keys.sealed_memtable_count() > SEALED_MAX || self.keys.tree.l0_run_count() > RUNS_MAX {
            self.check_alive()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Releases the tables that compactions have replaced: the engine keeps them for readers that began earlier, and
    /// checks for such readers only when it rotates a memtable.
    pub(super) fn release_replaced(&self) -> Result<(), EngineError> {
        self.keys.rotate_memtable().map(drop).map_err(failed)
    }

    /// Whether all changes are in tables, so that no journal is needed any more.
    pub(super) fn is_flushed(&self) -> bool {
        self.keys.tree.active_memtable().is_empty() && self.keys.sealed_memtable_count() == 0
    }

    /// Replaces all journals with one empty journal. The engine must be closed, and have been
    /// [flushed](Self::is_flushed).
    pub(super) fn begin_journal(dir: &Path) -> io::Result<Option<Journal>> {
        journal::begin(&folder(dir))
    }

    /// Removes the journals before that one.
    pub(super) fn remove_journals_before(dir: &Path, journal: Journal) -> io::Result<()> {
        journal::remove_before(&folder(dir), journal.number)
    }

    /// Writes all changes to tables. May take long.
    pub(super) fn flush(&self) -> Result<(), EngineError> {
        self.keys.rotate_memtable().map_err(failed)?;
        while self.keys.sealed_memtable_count() > 0 {
            self.check_alive()?;
            if self.deleted.is_closing() {
                return Err(EngineError::Disk(io::ErrorKind::Interrupted.into()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Removes the keys of deleted spaces from the tables. May take long.
    pub(super) fn reclaim(&self, ids: &[u64]) -> Result<(), EngineError> {
        self.flush()?;
        for &id in ids {
            let of_space = layout::full_key(id, &[])..layout::full_key(id + 1, &[]);
            self.keys.tree.drop_range(of_space).map_err(fjall::Error::from).map_err(failed)?;
        }
        if self.keys.disk_space() <= COMPACT_WHOLE_MAX {
            self.keys.major_compact().map_err(failed)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// Translates the engine's error.
fn failed(error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            EngineError::Disk(error)
        }
        fjall::Error::Poisoned => EngineError::Poisoned,
        other => EngineError::Other(Box::new(other)),
    }
}

/// The engine's folder in the data directory.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// Leaves the keys of deleted spaces out of what a compaction writes.
struct LeaveOutDeleted {
    deleted: Arc<Deleted>,
}

struct LeaveOut {
    source: Arc<Deleted>,
    deleted: HashSet<u64>,
}

impl Factory for LeaveOutDeleted {
    fn name(&self) -> &str {
        "deleted spaces"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(LeaveOut { source: Arc::clone(&self.deleted), deleted: self.deleted.snapshot() })
    }
}

impl CompactionFilter for LeaveOut {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        if self.source.is_closing() {
            // The only way to end a compaction early. Its output so far is thrown away.
            return Err(io::Error::from(io::ErrorKind::Interrupted).into());
        }
        let deleted = !self.deleted.is_empty()
            && layout::space_of(item.key()).is_some_and(|space| self.deleted.contains(&space));
        Ok(if deleted { Verdict::Destroy } else { Verdict::Keep })
    }
}
