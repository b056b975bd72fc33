//! Spaces and keys on the embedded engine; group commit.
//!
//! This room owns the data directory: its lock, its files, and the thread `store-commit`, the only
//! one that changes anything. It knows no users, no protocol and no connections, and it never
//! acknowledges a write that is not as durable as its space asks for.
//!
//! The file is long because it explains the room, and has every way in and out of it.
//!
//! # The engine
//! fjall 3, a log-structured tree with a journal. Measured for this workload (2 cores, 256-byte values, durable batches
//! of 64): four times the puts of redb and heed, which copy pages per commit. Their reads are faster: fjall takes 1 to
//! 2 microseconds for a hot key. Clients have no task each, so that would be a good part of a request's cost: a cache
//! in front of the engine keeps recently read values (`cache.rs` says how it stays true).
//!
//! # Who may wait
//! The engine may always wait for the disk: it writes files under the lock that every read takes. So a thread that
//! serves clients reads only what is [kept in memory](Store::kept), and leaves everything else to the store's own
//! threads (`fetch.rs`), which also wait while the engine is reopened.
//!
//! # Group commit
//! A writer queues a submission and waits. The committer takes everything that was queued while it was syncing, applies
//! it as one batch, syncs once, and answers all writers. A batch becomes readable only after its sync, so no client
//! reads what a crash could take back, except in spaces without `wal` and with [`Durability::EverySecond`], which are
//! synced once a second.
//!
//! # Spaces
//! All spaces share one engine keyspace; a number before each key tells them apart. A keyspace per space would cost
//! several files, syncs and a memtable each, and every idle one would hold up the journals of all. With a shared
//! keyspace a space is one entry in a catalogue, created and deleted by one commit, and 10,000 of them open in a
//! fraction of a second. The keys of a deleted space become unreachable at once, since its number is never reused; a
//! background thread then drops the tables that held nothing else and compacts the rest with a filter that leaves those
//! keys out.
//!
//! # When the disk fails
//! After one failed write or sync the engine rightly refuses every further write: what is on disk is unknown. It still
//! reads. The waiting writers get an error, and so does every write until the committer has recovered: it closes the
//! engine, reopens it, which replays the journals, and swaps it in behind the handles. On a full disk it waits for free
//! space before it tries. If a sync may have failed, it rewrites the journals first (`journal.rs` says why). A write
//! that was reported as failed may turn out to have happened; an acknowledged one is never lost.

mod cache;
mod catalogue;
mod committer;
mod disk_wait;
mod done;
mod engine;
mod error;
mod fetch;
mod group;
mod journal;
mod journal_prealloc;
mod layout;
mod lock;
mod manifest;
mod on_disk_size;
mod queue;
mod reclaim;
mod shared;
mod space;
mod stats;
mod stripes;
mod whole;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use error::{EngineError, OpenError, SpaceError, StoreError};
pub use fetch::{Fetch, Fetched, Found, Read};
pub use journal::reading as journal_reading;
pub use on_disk_size::OnDiskSize;
pub use space::Space;
pub(crate) use space::check_name;
pub use stats::{Contents, Disk, Stats, Trouble};

pub use crate::names::{InvalidName, LooksLike, MAX_LEN as MAX_NAME_LEN};

use catalogue::Catalogue;
use committer::Committer;
use done::Done;
use engine::{Bytes, Engine, Opened};
use layout::Deleted;
use lock::DirectoryLock;
use manifest::Manifest;
use queue::Command;
use shared::{Shared, Slot};

use crate::names::check_unlike;
use crate::sync;
use crate::unpoisoned::Unpoisoned as _;

/// The longest key, in bytes. The engine counts key lengths in 16 bits, including the space's number.
pub const MAX_KEY_LEN: usize = u16::MAX as usize - layout::PREFIX_LEN;

/// The most files that a store has open: those of the engine, a table for each reading thread, and the lock of the data
/// directory. The manifest is open only briefly.
pub const MOST_FILES: usize = engine::MOST_FILES + fetch::READERS + 1;

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to the disk before the reply.
    #[default]
    Always,
    /// Synced once a second: a crash of the machine may lose the last second.
    EverySecond,
}

/// The spaces of one data directory. A cheap handle: clones share the same store. The last one
/// dropped closes it.
#[derive(Clone)]
pub struct Store {
    open: Arc<Open>,
}

/// A change of one key.
#[derive(Debug, Clone)]
pub struct Write {
    /// The space of the key.
    pub space: Space,
    /// The key; at most [`MAX_KEY_LEN`] bytes.
    pub key: Vec<u8>,
    /// The new value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// The outcome of one [`Write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The value is stored.
    Stored,
    /// The key existed and is deleted.
    Deleted,
    /// The key to delete did not exist, counting the writes before this one.
    NotFound,
    /// The space was deleted before this write was applied; nothing is changed.
    NoSuchSpace,
    /// The key is longer than [`MAX_KEY_LEN`]; nothing is changed.
    KeyTooLong,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A stored value. Derefs to its bytes; a clone shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(Bytes);

/// The state that the first caller closes, once.
struct Open {
    shared: Arc<Shared>,
    naming: tokio::sync::Mutex<()>,
    running: Mutex<Option<Running>>,
}

struct Running {
    committer: JoinHandle<()>,
    reclaimer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    // Released last: until then no other process may open the directory.
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the store of the data directory `dir`, and creates both if they do not exist.
    ///
    /// # Errors
    /// [`OpenError`] if the directory is not usable, in use, or damaged.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, OpenError> {
        let lock = DirectoryLock::acquire(dir)?;
        let failed = |source| OpenError::Engine { path: dir.into(), source };
        let not_usable = |source| OpenError::NotUsable { path: dir.into(), source };
        let deleted = Arc::new(Deleted::default());
        let known = manifest::load(dir)?;
        let Opened { engine, journal } = Engine::open(dir, &deleted, known.as_ref()).map_err(failed)?;
        engine.sync().map_err(|error| failed(error.into()))?;
        let catalogue = Catalogue::load(&engine).map_err(failed)?;
        let next_id = catalogue.next;
        let manifest = Manifest::new(dir, known).map_err(not_usable)?;
        let shared = Arc::new(Shared::new(dir.into(), engine, deleted, manifest));
        shared.look_at_contents();
        // On a full disk the store must open all the same; the note is retried later.
        if let Err(error) = shared.note_journal_found(journal) {
            tracing::warn!(%error, "cannot write the manifest of the store yet: {error}");
        }
        shared.adopt(catalogue);
        let readers = fetch::spawn(&shared).map_err(not_usable)?;
        let reclaimer = reclaim::spawn(&shared).map_err(|source| {
            shared.readers.close();
            not_usable(source)
        })?;
        let committer = Committer::spawn(Arc::clone(&shared), durability, next_id).map_err(|source| {
            shared.readers.close();
            shared.reclaimer.close();
            not_usable(source)
        })?;
        let running = Mutex::new(Some(Running { committer, reclaimer, readers, _lock: lock }));
        Ok(Self { open: Arc::new(Open { shared, naming: tokio::sync::Mutex::default(), running }) })
    }

    /// The space called `name`, if there is one.
    pub fn space(&self, name: &str) -> Option<Space> {
        self.open.shared.spaces().get(name).cloned()
    }

    /// All spaces, sorted by name.
    pub fn spaces(&self) -> Vec<Space> {
        self.open.shared.spaces().values().cloned().collect()
    }

    /// The value of `key`, if it is in memory or known not to exist. Never waits, and costs little.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSpace`] if the space was deleted.
    pub fn kept(&self, space: &Space, key: &[u8]) -> Option<Found> {
        self.open.shared.kept(space, key)
    }

    /// The value of `key`. May wait for the disk, and waits while the store recovers from a failure. The value is never
    /// older than what was acknowledged or read before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSpace`] if the space was deleted, else the engine's error.
    pub fn get(&self, space: &Space, key: &[u8]) -> Found {
        self.open.shared.get(space, key)
    }

    /// Reads several keys in the same way, on threads of the store. Never waits.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        self.open.shared.readers.push(fetch);
    }

    /// Call this now and then while a [`Store::fetch`] is under way: it wakes another reader if the working ones are
    /// held up.
    pub(crate) fn look_after_fetches(&self) {
        self.open.shared.readers.look();
    }

    /// Queues `writes` to be applied in order, and calls `done` once they are as durable as their spaces require. Never
    /// waits.
    ///
    /// `done` is called exactly once, on the committing thread, which it holds up meanwhile: it should only pass the
    /// outcome on. If the store is closed, `done` is called immediately on the caller's thread.
    ///
    /// The queue has no bound of its own: each caller must limit its submissions under way. A connection has one.
    ///
    /// # Errors
    /// `done` gets an error if the whole submission failed: no part of it is acknowledged.
    pub fn submit(
        &self,
        writes: Vec<Write>,
        done: impl FnOnce(Result<Vec<Outcome>, StoreError>) + Send + 'static,
    ) {
        self.open.shared.queue.push(Command::Write { writes, done: Done::new(done) });
    }

    /// Like [`submit`](Self::submit), and waits for the outcome.
    ///
    /// # Errors
    /// The whole submission failed: no part of it is acknowledged.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, StoreError> {
        let (reply, outcome) = oneshot::channel();
        self.submit(writes, |written| done::answer(reply, written));
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Creates a space. With `wal` its writes are as durable as the store was opened for; without, a crash may lose the
    /// last second of them.
    ///
    /// # Errors
    /// [`SpaceError`] if the name is taken or impossible or looks like another one, or the change could not be stored.
    pub async fn create_space(&self, name: &str, wal: bool) -> Result<(), SpaceError> {
        check_name(name)?;
        // Held from the check of the other names until this one exists: of two look-alike names only one is created.
        let _naming = self.open.naming.lock().await;
        check_unlike(name, self.spaces().iter().map(Space::name))?;
        self.import_space(name, wal).await
    }

    /// Creates a space that existed elsewhere, even if its name looks like another one.
    ///
    /// # Errors
    /// As [`create_space`](Self::create_space).
    pub(crate) async fn import_space(&self, name: &str, wal: bool) -> Result<(), SpaceError> {
        check_name(name)?;
        self.ask(|reply| Command::CreateSpace { name: name.to_owned(), wal, reply }).await?
    }

    /// Deletes a space and all its keys. Their disk space is freed soon after.
    ///
    /// # Errors
    /// [`SpaceError::DoesNotExist`], or the change could not be stored.
    pub async fn delete_space(&self, name: &str) -> Result<(), SpaceError> {
        self.delete_space_and(name, Vec::new()).await
    }

    /// Deletes a space and stores entries of the system area, atomically. No key may occur twice.
    ///
    /// # Errors
    /// As [`Store::delete_space`].
    pub(crate) async fn delete_space_and(&self, name: &str, entries: Vec<Entry>) -> Result<(), SpaceError> {
        let also = entries.into_iter().map(|(key, value)| (layout::system_key(&key), Some(value))).collect();
        self.ask(|reply| Command::DeleteSpace { name: name.to_owned(), also, reply }).await?
    }

    /// All entries of the system area, in order of their keys.
    ///
    /// # Errors
    /// The engine's error.
    pub fn system_entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.open.shared.with_engine(Catalogue::system_entries)
    }

    /// Stores an entry of the system area. Always synced.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn system_put(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.ask(|reply| Command::Own { key: layout::system_key(key), value: Some(value), reply }).await?
    }

    /// Deletes an entry of the system area, if it is there. Always synced.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn system_delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.ask(|reply| Command::Own { key: layout::system_key(key), value: None, reply }).await?
    }

    /// Records permanently that this data directory has an administrator. Waits for the disk.
    ///
    /// # Errors
    /// It could not be written.
    pub fn note_admin(&self) -> io::Result<()> {
        self.open.shared.manifest.change(|facts| facts.has_admin = true)
    }

    /// Whether this data directory has, or has had, an administrator.
    pub fn has_had_admin(&self) -> bool {
        self.open.shared.manifest.facts().has_admin
    }

    /// How long the committer has been waiting for the disk; `None` if it is not waiting.
    #[must_use]
    pub(crate) fn waits_for_disk(&self) -> Option<Duration> {
        self.open.shared.disk_wait.duration()
    }

    /// How many commits were tried since the store was opened. With many concurrent writers this is lower than the
    /// number of writes, because of group commit.
    pub fn commits(&self) -> u64 {
        self.open.shared.tally.commits()
    }

    /// The size of the store, and its work since it was opened. Never waits.
    pub fn stats(&self) -> Stats {
        self.open.shared.stats()
    }

    /// Commits what is queued, syncs, and closes the store for all its handles. Blocks; later uses of other handles
    /// fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// The last sync failed.
    pub fn close(self) -> Result<(), StoreError> {
        self.open.close()
    }

    /// Queues a command and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.open.shared.queue.push(command(reply));
        answer.await.map_err(|_| StoreError::Closed)
    }
}

impl Open {
    fn close(&self) -> Result<(), StoreError> {
        let running = self.running.lock().unpoisoned().take();
        let Some(running) = running else { return Ok(()) };
        self.shared.queue.close();
        let committed = running.committer.join();
        let synced = self.shared.with_engine(|engine| Ok(engine.sync()?));
        if synced.is_ok()
            && let Err(error) = self.shared.note_journal()
        {
            tracing::warn!(%error, "cannot write the manifest of the store: {error}");
        }
        // Only now, when nothing is left to write: closing it makes the engine's own compactions fail.
        self.shared.deleted.close();
        self.shared.reclaimer.close();
        let reclaimed = running.reclaimer.join();
        self.shared.readers.close();
        let read = running.readers.into_iter().try_for_each(JoinHandle::join);
        let mut slot = self.shared.slot_mut();
        *slot = Slot::Closed;
        self.shared.cache.clear();
        drop(slot);
        match (reclaimed, committed, read) {
            (Ok(()), Ok(()), Ok(())) => synced,
            _ => Err(StoreError::Damaged("a thread of the store has panicked")),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "cannot close the store cleanly: {error}");
        }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.open.shared.dir).finish_non_exhaustive()
    }
}
