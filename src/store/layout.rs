//! The layout of spaces and keys in the engine's one keyspace.
//!
//! Every key begins with the number of its space, 8 bytes big-endian, so that a space is one contiguous range. Numbers
//! are never reused. Number 0 is the store's own:
//!
//! | key after the number | value |
//! |---|---|
//! | `c` name | catalogue: number of the space (8 bytes), flags (1 byte: 1 = wal) |
//! | `d` number | the space of that number is deleted, its keys may not be gone from disk yet |
//! | `n` | the number for the next space |
//! | `s` | mark of the commit it is in: all before it was synced (`journal/reading.rs`); the secret of the store |
//! | `u` key | the system area |
//! | `w` | mark of the commit it is in: something before it was not synced yet; the secret of the store |

use std::collections::HashSet;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::space::Space;
use crate::unpoisoned::Unpoisoned as _;

/// The number that belongs to no space.
pub(super) const OWN: u64 = 0;

/// Bytes before the key itself.
pub(super) const PREFIX_LEN: usize = 8;

const WAL: u8 = 1;

/// `w`, the mark of a commit before which not everything was synced.
pub(super) const UNSYNCED_KEY: &[u8] = b"\0\0\0\0\0\0\0\0w";
/// `s`, the mark of a commit before which everything was synced.
pub(super) const SYNCED_KEY: &[u8] = b"\0\0\0\0\0\0\0\0s";

/// A key as the engine sees it.
pub(super) fn full_key(space: u64, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(PREFIX_LEN + key.len());
    full.extend_from_slice(&space.to_be_bytes());
    full.extend_from_slice(key);
    full
}

fn own_key(area: u8, key: &[u8]) -> Vec<u8> {
    let mut full = full_key(OWN, &[area]);
    full.extend_from_slice(key);
    full
}

pub(super) fn system_key(key: &[u8]) -> Vec<u8> {
    own_key(b'u', key)
}

/// The prefix of a catalogue key; the space's name follows it.
pub(super) fn catalogue_prefix() -> Vec<u8> {
    own_key(b'c', &[])
}

pub(super) fn catalogue_key(name: &str) -> Vec<u8> {
    own_key(b'c', name.as_bytes())
}

pub(super) fn catalogue_value(space: &Space) -> Vec<u8> {
    let mut value = space.id().to_be_bytes().to_vec();
    value.push(if space.wal() { WAL } else { 0 });
    value
}

/// The space in an entry of the catalogue, if it is one.
pub(super) fn space_of_entry(name: &[u8], value: &[u8]) -> Option<Space> {
    let (id, flags) = value.split_at_checked(8)?;
    Some(Space::new(str::from_utf8(name).ok()?, number(id)?, flags.first() == Some(&WAL)))
}

/// The prefix of a deletion key; the deleted space's number follows it.
pub(super) fn deleted_prefix() -> Vec<u8> {
    own_key(b'd', &[])
}

pub(super) fn deleted_key(id: u64) -> Vec<u8> {
    own_key(b'd', &id.to_be_bytes())
}

pub(super) fn next_key() -> Vec<u8> {
    own_key(b'n', &[])
}

/// The number of the space that a full key belongs to.
pub(super) fn space_of(full_key: &[u8]) -> Option<u64> {
    Some(split(full_key)?.0)
}

/// The number of the space, and the key in it.
pub(super) fn split(full_key: &[u8]) -> Option<(u64, &[u8])> {
    let (space, key) = full_key.split_at_checked(PREFIX_LEN)?;
    Some((number(space)?, key))
}

/// A number in the format of the store's own entries.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The deleted spaces, for the compactions, which leave out their keys.
///
/// A deleted number is never reused and its keys are unreachable, so forgetting them early, late, or in part affects
/// only the disk space.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    ids: RwLock<HashSet<u64>>,
    closing: AtomicBool,
}

impl Deleted {
    pub(super) fn insert(&self, id: u64) {
        self.ids.write().unpoisoned().insert(id);
    }

    pub(super) fn remove(&self, id: u64) {
        self.ids.write().unpoisoned().remove(&id);
    }

    /// Aborts the compaction that frees their disk space: the store is being closed.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn snapshot(&self) -> HashSet<u64> {
        self.ids.read().unpoisoned().clone()
    }
}
