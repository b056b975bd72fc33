//! The embedded engine, as this room wants it: open, get, commit, sync, give space back.
//!
//! Nothing else names the engine's types, and its errors leave this file in the store's own words. Another engine
//! takes another such file, `journal/` and `whole.rs`, which know how this one's files look.
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
/// Where they are made. The engine cannot open what it has not made whole, so it gets its name last.
const FOLDER_BEING_MADE: &str = "store.new";
/// The one keyspace; see [`layout`].
const KEYSPACE: &str = "keys";

/// What is read again and again is kept elsewhere (`cache.rs`).
const BLOCK_CACHE: u64 = 16 << 20;
/// A larger one is searched and freed more slowly: with 16 MB the worst write of many took 34 ms instead of 18.
const MEMTABLE: u64 = 8 << 20;
/// After this much journal the oldest is flushed away, so that a restart has little to replay.
const JOURNALS: u64 = 128 << 20;
/// So many tables stay open, of 64 MB each; another is opened for a read, which costs that a few microseconds.
/// The engine would keep 900, whatever the process may have open beside them.
const TABLES: usize = 8;
/// What the engine may have open beside tables that are read from: its lock, its journals (2 full ones make
/// up [`JOURNALS`], one is being written and one replaced), the journal once more, so that zeros are written
/// ahead of it, and what a compaction merges and writes.
const OTHER_FILES: usize = 1 + 4 + 1 + 8;

/// The most files that the engine has open.
pub(super) const MOST_FILES: usize = TABLES + OTHER_FILES;

/// One to flush while the other compacts.
const WORKERS: usize = 2;

/// The engine itself halts a writer at 4 sealed memtables or 30 runs, and sleeps there for ever
/// if the workers that should relieve it are dead. We wait earlier, and look whether they live.
const SEALED_MAX: usize = 2;
const RUNS_MAX: usize = 20;

/// Up to this size a compaction of everything follows a deletion. Beyond, the tables that held
/// nothing else go at once, and the rest goes as ordinary compaction comes by.
const COMPACT_WHOLE_MAX: u64 = 1 << 30;

/// An open engine. Its clones must all be gone before the same directory can be opened again.
#[derive(Clone)]
pub(super) struct Engine {
    database: Database,
    keys: Keyspace,
    deleted: Arc<Deleted>,
}

/// An engine that was just opened.
pub(super) struct Opened {
    pub(super) engine: Engine,
    /// The newest journal, as far as was looked before.
    pub(super) journal: Option<Journal>,
}

/// Bytes as the engine keeps them: clones share them.
pub(super) type Bytes = fjall::Slice;

/// Changes to be applied together: a key and its new value, or none if it is deleted.
pub(super) type Changes = Vec<(Bytes, Option<Bytes>)>;

impl Engine {
    /// Opens what is in `dir`, or makes it if nothing is known of it.
    ///
    /// What it holds may not be on the disk yet: a process that was killed may have left it behind,
    /// unsynced. Until it is [synced](Self::sync), nobody may be told that it lasts.
    ///
    /// # Errors
    /// The engine cannot open it, or it is less than it has been.
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

    /// Makes an empty store: all of it, or nothing that stands in the way of the next attempt.
    ///
    /// Without the journal, which holds nothing yet. The engine makes another when it opens the store, and
    /// one that it has made itself has [room behind its end](super::journal_prealloc), which one that it finds has not.
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

    /// Writes the journals anew, so that what a failed sync left in doubt is either on disk or
    /// reported. The engine must be closed.
    pub(super) fn rewrite_journals(dir: &Path) -> io::Result<()> {
        journal::rewrite_all(&folder(dir))
    }

    /// How many bytes of room that needs beside what is there.
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

    /// All entries whose key begins with `prefix`, without it.
    pub(super) fn entries(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for entry in self.keys.prefix(prefix) {
            let (key, value) = entry.into_inner().map_err(failed)?;
            entries.push((key.get(prefix.len()..).unwrap_or_default().to_vec(), value.to_vec()));
        }
        Ok(entries)
    }

    /// Applies changes, all or none. With `sync` they are on disk before anyone can read them.
    /// No key may occur twice: all get the same sequence number.
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

    /// Puts on disk what was committed without.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    /// Whether the engine still accepts writes. One failed write or sync, or one failed flush in
    /// the background, and it never does again: it must be opened anew.
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

    /// Lets go of the tables that compactions have replaced: the engine keeps them for readers
    /// who began before, and only looks whether there are any when it turns a memtable over.
    pub(super) fn release_replaced(&self) -> Result<(), EngineError> {
        self.keys.rotate_memtable().map(drop).map_err(failed)
    }

    /// Whether all changes are in tables, so that no journal is needed any more.
    pub(super) fn is_flushed(&self) -> bool {
        self.keys.tree.active_memtable().is_empty() && self.keys.sealed_memtable_count() == 0
    }

    /// Begins an empty journal in place of all there are. The engine must be closed, and have been
    /// [flushed](Self::is_flushed).
    pub(super) fn begin_journal(dir: &Path) -> io::Result<Option<Journal>> {
        journal::begin(&folder(dir))
    }

    /// Removes the journals before that one.
    pub(super) fn remove_journals_before(dir: &Path, journal: Journal) -> io::Result<()> {
        journal::remove_before(&folder(dir), journal.number)
    }

    /// Puts all changes into tables. Takes as long as it takes.
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

    /// Takes the keys of deleted spaces out of the tables. Takes as long as it takes.
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

/// What the engine said, in the store's words.
fn failed(error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            EngineError::Disk(error)
        }
        fjall::Error::Poisoned => EngineError::Poisoned,
        other => EngineError::Other(Box::new(other)),
    }
}

/// Where the engine keeps its files, in the data directory.
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
            // The only way to end a compaction early. What it has written so far is thrown away.
            return Err(io::Error::from(io::ErrorKind::Interrupted).into());
        }
        let deleted = !self.deleted.is_empty()
            && layout::space_of(item.key()).is_some_and(|space| self.deleted.contains(&space));
        Ok(if deleted { Verdict::Destroy } else { Verdict::Keep })
    }
}
