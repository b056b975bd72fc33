//! Recently read values, kept in memory, and always true.
//!
//! A hot key costs the engine 1 to 2 microseconds, as much as all the rest of a request that is not a system call; from
//! here it takes a tenth of that. The size is bounded in bytes.
//!
//! # How it stays true
//! No client may see a key's value go back, or an old value once a newer one is acknowledged. The keys are spread over
//! stripes. Before a commit the committer [opens](Cache::begin) the stripes of its keys and takes the keys out, and
//! when the engine has the changes it [closes](Changing) them. A reader that finds nothing here asks the engine, and
//! keeps the answer only if its stripe was closed from before it asked until after: so what it keeps is what the engine
//! holds now. During a commit all readers ask the engine: a client that has read the new value from there must not find
//! the old one here.

use std::hash::{BuildHasher, Hash, Hasher};

use quick_cache::{Equivalent, Weighter, sync};

use super::engine::{Bytes, Changes};
use super::layout;
use super::stripes::Stripes;
use super::{StoreError, Value};

/// How many bytes of keys and values are kept.
const CAPACITY: u64 = 48 << 20;
/// Below this size the cache also keeps written values, so that the next read need not fetch them. Above it, that would
/// cost writes of many keys a quarter more processor time (`benches/RESULTS.md`) for values that may never be read.
const WRITTEN: u64 = 1 << 20;
/// What an entry takes besides its key and value.
const OVERHEAD: u64 = 112;
/// A larger value is not copied here: it would displace many others.
const LARGEST: usize = 64 << 10;
/// The initial capacity; it grows from there.
const EXPECTED: usize = 1024;

/// Enough that the keys of one commit leave most of them closed. A power of two.
const STRIPES: usize = 1024;

type Entries = sync::Cache<Key, Option<Value>, Weigh, foldhash::fast::RandomState>;

pub(super) struct Cache {
    entries: Entries,
    /// Keyed at random, like the entries: clients must not be able to choose keys that collide.
    hasher: foldhash::fast::RandomState,
    stripes: Stripes,
}

/// Keys that are being changed. Dropped once the engine has the changes or has refused them.
pub(super) struct Changing<'a> {
    cache: &'a Cache,
    changes: Vec<Change>,
}

struct Change {
    /// The stripe that is open for it.
    stripe: usize,
    /// What to keep, if anything.
    to_keep: Option<(Key, Option<Value>)>,
}

/// A full key, which shares its bytes with the engine's: a write need not copy it.
#[derive(Debug, PartialEq, Eq)]
struct Key(Bytes);

/// Hashes like a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) space: u64,
    pub(super) key: &'a [u8],
}

#[derive(Clone)]
struct Weigh;

impl Cache {
    /// The value of `key`, from here or as `read` finds it. The absence of a key is kept as well.
    ///
    /// `read` and all [`clear`](Self::clear) must exclude each other.
    pub(super) fn get(
        &self,
        key: KeyRef<'_>,
        read: impl FnOnce() -> Result<Option<Value>, StoreError>,
    ) -> Result<Option<Value>, StoreError> {
        let stripe = self.stripe(key);
        let closed = self.stripes.closed(stripe);
        let found = read()?;
        let small = found.as_ref().is_none_or(|value| value.len() <= LARGEST);
        if let Some(closed) = closed
            && small
        {
            let kept = Key(layout::full_key(key.space, key.key).into());
            // A copy: a value from the engine may keep a whole block of the engine in memory.
            let value = found.as_ref().map(|value| Value((&**value).into()));
            self.stripes.if_still_closed(stripe, closed, || self.entries.insert(kept, value));
        }
        Ok(found)
    }

    /// The kept value of `key`, if any.
    pub(super) fn kept(&self, key: KeyRef<'_>) -> Option<Option<Value>> {
        self.entries.get(&key)
    }

    /// Must be called before the engine gets changes of the keys; hold the returned value until it has them.
    pub(super) fn begin(&self, changes: &Changes) -> Changing<'_> {
        let has_room = self.entries.weight() < WRITTEN;
        let begin = |(full_key, value): &(Bytes, Option<Bytes>)| {
            let key = KeyRef::from(layout::split(full_key)?);
            let stripe = self.stripe(key);
            let was_kept = self.stripes.open(stripe, || self.entries.remove(&key).is_some());
            let is_small = value.as_ref().is_none_or(|value| value.len() <= LARGEST);
            let keeps = key.space != layout::OWN && is_small && (was_kept || has_room);
            let to_keep = keeps.then(|| (Key(full_key.clone()), value.clone().map(Value)));
            Some(Change { stripe, to_keep })
        };
        Changing { cache: self, changes: changes.iter().filter_map(begin).collect() }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.entries.clear();
    }

    fn stripe(&self, key: KeyRef<'_>) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "of a hash, any part will do")]
        let index = self.hasher.hash_one(key) as usize % self.stripes.count();
        index
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: sync::Cache::with(
                EXPECTED,
                CAPACITY,
                Weigh,
                foldhash::fast::RandomState::default(),
                sync::DefaultLifecycle::default(),
            ),
            hasher: foldhash::fast::RandomState::default(),
            stripes: Stripes::new(STRIPES),
        }
    }
}

impl Changing<'_> {
    /// The engine has the changes: kept keys stay, with their new values, and new ones are kept as well while there is
    /// much room. Until the stripes are closed, no reader keeps anything of these keys.
    pub(super) fn keep_changed(&mut self) {
        for (key, value) in self.changes.iter_mut().filter_map(|change| change.to_keep.take()) {
            self.cache.entries.insert(key, value);
        }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        for change in &self.changes {
            self.cache.stripes.close(change.stripe);
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(key) = layout::split(&self.0) {
            KeyRef::from(key).hash(state);
        }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        layout::split(&key.0) == Some((self.space, self.key))
    }
}

impl<'a> From<(u64, &'a [u8])> for KeyRef<'a> {
    fn from((space, key): (u64, &'a [u8])) -> Self {
        Self { space, key }
    }
}

impl Weighter<Key, Option<Value>> for Weigh {
    fn weight(&self, key: &Key, value: &Option<Value>) -> u64 {
        let len = key.0.len() + value.as_ref().map_or(0, |value| value.len());
        OVERHEAD + len as u64
    }
}
