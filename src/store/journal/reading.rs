//! Interprets the bytes of a journal: how many are whole batches, and what the rest proves.
//!
//! Pure, and linear in the length of the journal whatever is in it: clients choose most of these bytes.
//!
//! # The format
//! A journal is a series of batches, optionally followed by zeros. Numbers are little-endian.
//!
//! | entry | tag | what follows |
//! |---|---|---|
//! | start | 1 | count of items (4), sequence number (8) |
//! | item | 2 | kind (1), compression (1), keyspace (8), key length (2), value length (4), length on disk (4), key, value |
//! | end | 3 | XXH3 of the items as written (8), `FJL` 3 |
//! | clear | 4 | keyspace (8); counts as an item |
//!
//! # The mark
//! The first item of every commit of ours has the key [`SYNCED_KEY`] if everything before it was synced when it was
//! written, else [`UNSYNCED_KEY`], and its value is the secret of this store. The reader walks batches by the lengths
//! of their items. Behind damage, where there are no lengths to go by, it searches for the secret: no client knows it,
//! so no value can be mistaken for a batch.
//!
//! # Journals without a secret
//! The version before this one wrote the mark only before unsynced items, and without a value. Such a journal can only
//! be searched for batches. That is done once, when this version adopts the store, and with a bounded effort.

use memchr::{memchr_iter, memmem};
use xxhash_rust::xxh3::Xxh3Default;

use crate::store::layout::{SYNCED_KEY, UNSYNCED_KEY};

/// Bytes of a secret.
pub const SECRET_LEN: usize = 16;

/// What marks the commits of one store.
pub type Secret = [u8; SECRET_LEN];

const TRAILER: &[u8] = b"FJL";

/// The version of the engine's format that this reader knows.
pub(in crate::store) const FORMAT: u8 = 3;

/// Bytes of a batch before its first item.
const START: usize = 1 + 4 + 8;
/// Bytes of an item before its key.
const ITEM: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;
/// Where in a batch the mark's secret begins.
const SECRET_AT: usize = START + ITEM + SYNCED_KEY.len();

/// In a journal without a secret the search reads at most this multiple of its length.
const MOST_LOOKS: usize = 16;

/// The meaning of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How many bytes at the beginning are whole batches.
    pub intact: usize,
    /// What follows.
    pub rest: Rest,
}

/// What follows the whole batches at the beginning of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing but zeros.
    Nothing,
    /// What a crash leaves of unsynced commits.
    Torn,
    /// Something that was synced and is damaged, as a later commit proves.
    Damaged,
    /// A batch in another version of the format.
    Foreign(u8),
}

/// Reads a journal. Without a secret it counts as one of the version that had none.
pub fn read(journal: &[u8], secret: Option<&Secret>) -> Reading {
    let mut intact = 0;
    let rest = loop {
        let bytes = journal.get(intact..).unwrap_or_default();
        match batch(bytes) {
            Ok(batch) => intact += batch.len,
            Err(Broken::Foreign(format)) => break Rest::Foreign(format),
            Err(Broken::NotWhole { .. }) if bytes.iter().all(|&byte| byte == 0) => break Rest::Nothing,
            Err(Broken::NotWhole { .. }) => {
                let proven = match secret {
                    Some(secret) => has_synced_mark(bytes, secret),
                    None => has_batch_without_mark(bytes),
                };
                break if proven { Rest::Damaged } else { Rest::Torn };
            }
        }
    };
    Reading { intact, rest }
}

/// Whether a journal begins with a whole batch.
pub(in crate::store) fn begins_with_a_batch(journal: &[u8]) -> bool {
    batch(journal).is_ok()
}

/// Whether a whole batch with the secret says that all before it was synced.
fn has_synced_mark(bytes: &[u8], secret: &Secret) -> bool {
    let mut end = 0;
    memmem::find_iter(bytes, secret).filter_map(|found| found.checked_sub(SECRET_AT)).any(|start| {
        // Only a batch contains the secret, and no batch begins inside another.
        if start < end {
            return false;
        }
        let Some(Ok(batch)) = bytes.get(start..).map(batch) else { return false };
        end = start + batch.len;
        batch.synced_before && batch.secret == Some(secret)
    })
}

/// Whether a whole batch without the mark begins anywhere. Gives up on input crafted to take long.
fn has_batch_without_mark(bytes: &[u8]) -> bool {
    let mut effort = bytes.len().saturating_mul(MOST_LOOKS);
    for start in memchr_iter(1, bytes) {
        let looked = match batch(bytes.get(start..).unwrap_or_default()) {
            Ok(batch) if batch.synced_before => return true,
            Ok(batch) => batch.len,
            Err(Broken::NotWhole { looked }) => looked,
            Err(Broken::Foreign(_)) => 0,
        };
        match effort.checked_sub(looked) {
            Some(left) => effort = left,
            None => return false,
        }
    }
    false
}

/// A whole batch.
struct Batch<'a> {
    len: usize,
    /// Everything before it was synced when it was written.
    synced_before: bool,
    secret: Option<&'a [u8]>,
}

/// Why bytes are not a batch.
enum Broken {
    NotWhole {
        /// How far the search read.
        looked: usize,
    },
    Foreign(u8),
}

/// The batch that `bytes` begins with.
fn batch(bytes: &[u8]) -> Result<Batch<'_>, Broken> {
    let mut reader = Reader { bytes, pos: 0 };
    let batch = reader.batch();
    let looked = reader.pos;
    batch.unwrap_or(Err(Broken::NotWhole { looked }))
}

struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// `None` if it is not whole.
    fn batch(&mut self) -> Option<Result<Batch<'a>, Broken>> {
        if self.number::<1>()? != 1 {
            return None;
        }
        let items = self.number::<4>()?;
        self.take(8)?;
        let (mut synced_before, mut secret) = (true, None);
        let mut checksum = Xxh3Default::new();
        for item in 0..items {
            let start = self.pos;
            match self.number::<1>()? {
                2 => {
                    let (key, value) = self.item()?;
                    synced_before &= key != UNSYNCED_KEY;
                    if item == 0 && (key == SYNCED_KEY || key == UNSYNCED_KEY) {
                        secret = Some(value);
                    }
                }
                4 => drop(self.take(8)?),
                _ => return None,
            }
            checksum.update(self.bytes.get(start..self.pos)?);
        }
        if self.number::<1>()? != 3 || self.number::<8>()? != checksum.digest() || self.take(3)? != TRAILER {
            return None;
        }
        let &[format] = self.take(1)? else { return None };
        Some(if format == FORMAT {
            Ok(Batch { len: self.pos, synced_before, secret })
        } else {
            Err(Broken::Foreign(format))
        })
    }

    /// Key, and value as it is written.
    fn item(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.take(1 + 1 + 8)?;
        let key = self.number::<2>()?;
        self.take(4)?;
        let value = self.number::<4>()?;
        Some((self.take(usize::try_from(key).ok()?)?, self.take(usize::try_from(value).ok()?)?))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.pos.checked_add(len)?;
        let taken = self.bytes.get(self.pos..end)?;
        self.pos = end;
        Some(taken)
    }

    fn number<const LEN: usize>(&mut self) -> Option<u64> {
        Some(self.take(LEN)?.iter().rfold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

#[cfg(test)]
mod tests;
