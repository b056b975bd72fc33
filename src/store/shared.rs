//! The state that readers, the committer and the reclaimer share.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cache::{Cache, KeyRef};
use super::catalogue::Catalogue;
use super::disk_wait::DiskWait;
use super::engine::{self, Engine};
use super::fetch::{Found, Readers};
use super::layout::Deleted;
use super::manifest::{Journal, Manifest};
use super::queue::Queue;
use super::reclaim::Reclaimer;
use super::space::Space;
use super::stats::{Contents, Tally};
use super::{MAX_KEY_LEN, StoreError, journal, layout};
use crate::unpoisoned::Unpoisoned as _;

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) queue: Queue,
    /// Caches values of the engine in the slot.
    pub(super) cache: Cache,
    pub(super) deleted: Arc<Deleted>,
    pub(super) reclaimer: Reclaimer,
    /// Held by users of a clone of the engine beyond a single call, and by the committer while it closes and opens the
    /// engine. Taken before `slot`.
    pub(super) long_use: Mutex<()>,
    pub(super) tally: Tally,
    /// The committer's waits for the disk.
    pub(super) disk_wait: DiskWait,
    pub(super) readers: Arc<Readers>,
    /// The content that the next start must find.
    pub(super) manifest: Manifest,
    slot: RwLock<Slot>,
    /// As of the last check.
    contents: Mutex<Option<Contents>>,
    spaces: RwLock<BTreeMap<Box<str>, Space>>,
}

/// The place of the engine.
#[derive(Debug)]
pub(super) enum Slot {
    Open(Engine),
    /// It could not be reopened after a failure.
    Failed(Arc<str>),
    Closed,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, engine: Engine, deleted: Arc<Deleted>, manifest: Manifest) -> Self {
        Self {
            dir,
            queue: Queue::default(),
            cache: Cache::default(),
            deleted,
            reclaimer: Reclaimer::default(),
            long_use: Mutex::default(),
            tally: Tally::default(),
            disk_wait: DiskWait::default(),
            readers: Arc::default(),
            manifest,
            slot: RwLock::new(Slot::Open(engine)),
            contents: Mutex::default(),
            spaces: RwLock::default(),
        }
    }

    /// Runs `use_engine` with the open engine, which cannot be replaced meanwhile.
    pub(super) fn with_engine<T>(
        &self,
        use_engine: impl FnOnce(&Engine) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.slot.read().unpoisoned() {
            Slot::Open(engine) => use_engine(engine),
            Slot::Failed(reason) => Err(StoreError::Unavailable(Arc::clone(reason))),
            Slot::Closed => Err(StoreError::Closed),
        }
    }

    /// The value of a key, if it is known without waiting.
    pub(super) fn kept(&self, space: &Space, key: &[u8]) -> Option<Found> {
        if space.is_deleted() {
            return Some(Err(StoreError::NoSuchSpace));
        }
        if key.len() > MAX_KEY_LEN {
            return Some(Ok(None));
        }
        self.cache.kept(KeyRef { space: space.id(), key }).map(Ok)
    }

    /// The value of a key. May wait for the disk, and while the engine is being reopened.
    pub(super) fn get(&self, space: &Space, key: &[u8]) -> Found {
        if let Some(found) = self.kept(space, key) {
            return found;
        }
        let key = KeyRef { space: space.id(), key };
        // The engine stays in place: it is not replaced, and the cache not cleared, before the value is kept.
        self.with_engine(|engine| self.cache.get(key, || engine.get(&layout::full_key(key.space, key.key))))
    }

    /// Records the newest journal after an opening, which has synced what was `found` in it.
    pub(super) fn note_journal_found(&self, found: Option<Journal>) -> io::Result<()> {
        let newest = journal::journals(&engine::folder(&self.dir))?.pop();
        let newest = newest.map(|(number, _)| match found {
            Some(found) if found.number == number => found,
            _ => Journal { number, begun: false },
        });
        self.manifest.change(|facts| facts.journal = newest)
    }

    /// Records the newest journal, so that the next start notices if it is gone. Waits for the disk.
    pub(super) fn note_journal(&self) -> io::Result<()> {
        let known = self.manifest.facts().journal;
        let newest = journal::newest(&engine::folder(&self.dir), known)?;
        self.manifest.change(|facts| facts.journal = newest.or(facts.journal))
    }

    /// Whether the engine is in place. Never waits.
    pub(super) fn is_open(&self) -> bool {
        self.slot.try_read().is_ok_and(|slot| matches!(&*slot, Slot::Open(_)))
    }

    pub(super) fn contents(&self) -> MutexGuard<'_, Option<Contents>> {
        self.contents.lock().unpoisoned()
    }

    pub(super) fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unpoisoned()
    }

    pub(super) fn spaces(&self) -> RwLockReadGuard<'_, BTreeMap<Box<str>, Space>> {
        self.spaces.read().unpoisoned()
    }

    pub(super) fn add_space(&self, space: Space) {
        self.spaces.write().unpoisoned().insert(space.name().into(), space);
    }

    pub(super) fn remove_space(&self, space: &Space) {
        space.mark_deleted();
        self.spaces.write().unpoisoned().remove(space.name());
    }

    /// Replaces the spaces in memory by those of the catalogue. A commit that was reported as failed may have reached
    /// the disk, so the two may differ after a failure.
    pub(super) fn adopt(&self, catalogue: Catalogue) {
        let mut spaces = self.spaces.write().unpoisoned();
        let mut before = std::mem::take(&mut *spaces);
        for space in catalogue.spaces {
            let kept = before.remove(space.name()).filter(|known| known == &space);
            spaces.insert(space.name().into(), kept.unwrap_or(space));
        }
        drop(spaces);
        for gone in before.values() {
            gone.mark_deleted();
        }
        for id in catalogue.deleted {
            self.deleted.insert(id);
            self.reclaimer.push(id);
        }
    }
}
