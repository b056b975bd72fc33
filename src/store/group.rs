//! A group of changes that will be committed together, and the callers that wait for it.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::cache::Cache;
use super::done::{Done, answer};
use super::engine::{Bytes, Changes, Engine};
use super::{Durability, MAX_KEY_LEN, Outcome, StoreError, Write, layout};

#[derive(Default)]
pub(super) struct Group {
    /// The last change of each key: earlier ones in the same commit are never visible. That holds for one key by
    /// itself. A reader of several keys may see one as of after the commit, and then another as of before.
    changes: HashMap<Bytes, Option<Bytes>, foldhash::fast::RandomState>,
    /// The buffer in which full keys are built.
    full_key: Vec<u8>,
    bytes: usize,
    /// Some change is to a space with the durability of the store.
    wal: bool,
    /// Some change is to an entry of the store's own.
    own: bool,
    waiting: Waiting,
}

/// The callers to answer after the group's commit.
#[derive(Default)]
pub(super) struct Waiting {
    writes: Vec<(Vec<Outcome>, Done)>,
    own: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

impl Group {
    /// Adds the changes of one submission, and returns the outcome of each if the commit succeeds.
    ///
    /// If it fails, what it added so far is committed with the group, but not acknowledged.
    pub(super) fn write(
        &mut self,
        cache: &Cache,
        engine: &Engine,
        writes: Vec<Write>,
    ) -> Result<Vec<Outcome>, StoreError> {
        writes.into_iter().map(|write| self.write_one(cache, engine, write)).collect()
    }

    fn write_one(&mut self, cache: &Cache, engine: &Engine, write: Write) -> Result<Outcome, StoreError> {
        let Write { space, key, value } = write;
        if space.is_deleted() {
            return Ok(Outcome::NoSuchSpace);
        }
        if key.len() > MAX_KEY_LEN {
            return Ok(if value.is_some() { Outcome::KeyTooLong } else { Outcome::NotFound });
        }
        // The engine's byte type can only be built from contiguous bytes.
        self.full_key.clear();
        self.full_key.extend_from_slice(&space.id().to_be_bytes());
        self.full_key.extend_from_slice(&key);
        let key = Bytes::from(self.full_key.as_slice());
        let outcome = if value.is_some() {
            Outcome::Stored
        } else {
            let exists = match self.changes.get(&key) {
                Some(change) => change.is_some(),
                // Deletes have mostly been looked up before: all commits wait for this thread.
                None => match layout::split(&key).and_then(|key| cache.kept(key.into())) {
                    Some(value) => value.is_some(),
                    None => engine.contains(&key)?,
                },
            };
            if !exists {
                // A delete of a missing key that follows a delete in this group must wait for that one. It does: the
                // whole group is answered at once.
                return Ok(Outcome::NotFound);
            }
            Outcome::Deleted
        };
        self.wal |= space.wal();
        self.insert(key, value);
        Ok(outcome)
    }

    /// Adds a change of an entry of the store's own.
    pub(super) fn own(
        &mut self,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    ) {
        self.own = true;
        self.insert(key.into(), value);
        self.waiting.own.push(reply);
    }

    /// Calls `done` with `outcomes` once the group is committed.
    pub(super) fn tell_later(&mut self, outcomes: Vec<Outcome>, done: Done) {
        self.waiting.writes.push((outcomes, done));
    }

    fn insert(&mut self, key: Bytes, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.changes.insert(key, value.map(Bytes::from));
    }

    /// Bytes of keys and values that were added.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its acknowledgement must wait for the disk.
    pub(super) fn must_sync(&self, durability: Durability) -> bool {
        self.own || (self.wal && durability == Durability::Always)
    }

    /// The changes, in the order of their keys: the engine finds the place of each near the one before, which is most
    /// of a commit's cost beside the sync.
    pub(super) fn into_parts(self) -> (Changes, Waiting) {
        let mut changes: Changes = self.changes.into_iter().collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        (changes, self.waiting)
    }
}

impl Waiting {
    /// Answers all callers.
    pub(super) fn answer(self, result: Result<(), StoreError>) {
        for (outcomes, done) in self.writes {
            done.call(result.clone().map(|()| outcomes));
        }
        for reply in self.own {
            answer(reply, result.clone());
        }
    }
}
