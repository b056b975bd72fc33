//! Spaces and keys on the embedded engine; group commit.

mod error;
mod space;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use error::{OpenError, SpaceError, StoreError};
pub use space::{InvalidName, MAX_NAME_LEN, Space};

/// The longest key, in bytes. The engine counts key lengths in 16 bits, and 8 bytes name the space.
pub const MAX_KEY_LEN: usize = 65_535 - 8;

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to the disk before the reply.
    #[default]
    Always,
    /// Synced once a second: a crash of the machine may lose the last second.
    EverySecond,
}

/// The spaces of one data directory. A cheap handle: clones share the same store.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Mutex<Interim>>,
}

/// A change of one key.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub space: Space,
    /// Which key; at most [`MAX_KEY_LEN`] bytes.
    pub key: Vec<u8>,
    /// The new value; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// What became of one [`Write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The value is stored.
    Stored,
    /// The key was there and is deleted.
    Deleted,
    /// The key to delete was not there, counting the writes before this one.
    NotFound,
    /// The space was deleted before this write got its turn; nothing is changed.
    NoSuchSpace,
    /// The key is longer than [`MAX_KEY_LEN`]; nothing is changed.
    KeyTooLong,
}

/// A stored value. Derefs to its bytes; a clone shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(fjall::UserValue);

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug, Default)]
struct Interim {
    next: u64,
    spaces: BTreeMap<String, Space>,
    keys: BTreeMap<(u64, Vec<u8>), Vec<u8>>,
}

#[allow(clippy::unused_async, reason = "interim")]
impl Store {
    /// Opens the store of the data directory `dir`, making both if need be.
    ///
    /// # Errors
    /// [`OpenError`] if the directory is not usable, in use, or damaged.
    pub fn open(dir: &Path, _durability: Durability) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir).map_err(|source| OpenError::NotUsable { path: dir.into(), source })?;
        Ok(Self { inner: Arc::new(Mutex::new(Interim { next: 1, ..Interim::default() })) })
    }

    fn interim(&self) -> std::sync::MutexGuard<'_, Interim> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The space called `name`, if there is one.
    pub fn space(&self, name: &str) -> Option<Space> {
        self.interim().spaces.get(name).cloned()
    }

    /// All spaces, sorted by name.
    pub fn spaces(&self) -> Vec<Space> {
        self.interim().spaces.values().cloned().collect()
    }

    /// The value of `key`. Does not wait for anything but, at most, a short read from disk.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSpace`] if the space was deleted, else what the engine says.
    pub fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Value>, StoreError> {
        if space.is_deleted() {
            return Err(StoreError::NoSuchSpace);
        }
        Ok(self.interim().keys.get(&(space.id(), key.to_vec())).map(|value| Value(value.as_slice().into())))
    }

    /// Applies `writes` in order, and returns once they are as durable as their spaces ask for.
    ///
    /// # Errors
    /// The whole submission failed: nothing of it is acknowledged.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, StoreError> {
        let mut interim = self.interim();
        Ok(writes
            .into_iter()
            .map(|write| {
                let key = (write.space.id(), write.key);
                match write.value {
                    _ if write.space.is_deleted() => Outcome::NoSuchSpace,
                    _ if key.1.len() > MAX_KEY_LEN => Outcome::KeyTooLong,
                    Some(value) => {
                        interim.keys.insert(key, value);
                        Outcome::Stored
                    }
                    None if interim.keys.remove(&key).is_some() => Outcome::Deleted,
                    None => Outcome::NotFound,
                }
            })
            .collect())
    }

    /// Makes a space. With `wal` its writes are as durable as the store was opened for; without,
    /// the last second of them may be lost in a crash.
    ///
    /// # Errors
    /// [`SpaceError`] if the name is taken or impossible, or the change could not be stored.
    pub async fn create_space(&self, name: &str, wal: bool) -> Result<(), SpaceError> {
        space::check_name(name)?;
        let mut interim = self.interim();
        if interim.spaces.contains_key(name) {
            return Err(SpaceError::AlreadyExists);
        }
        let id = interim.next;
        interim.next += 1;
        interim.spaces.insert(name.into(), Space::new(name, id, wal));
        Ok(())
    }

    /// Deletes a space and all its keys.
    ///
    /// # Errors
    /// [`SpaceError::DoesNotExist`], or the change could not be stored.
    pub async fn delete_space(&self, name: &str) -> Result<(), SpaceError> {
        let space = self.interim().spaces.remove(name).ok_or(SpaceError::DoesNotExist)?;
        space.mark_deleted();
        Ok(())
    }

    /// All entries of the system area, in order of their keys.
    ///
    /// # Errors
    /// What the engine says.
    pub fn system_entries(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let interim = self.interim();
        let system = interim.keys.range((0, Vec::new())..(1, Vec::new()));
        Ok(system.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    /// Stores an entry of the system area. Always synced.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn system_put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.interim().keys.insert((0, key), value);
        Ok(())
    }

    /// Deletes an entry of the system area, if it is there. Always synced.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn system_delete(&self, key: Vec<u8>) -> Result<(), StoreError> {
        self.interim().keys.remove(&(0, key));
        Ok(())
    }

    /// Commits and syncs what is queued, and closes the store for all its handles. Blocks; later
    /// uses of other handles get [`StoreError::Closed`].
    ///
    /// # Errors
    /// The last sync failed.
    pub fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}
