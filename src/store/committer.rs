//! The only thread that changes anything: it takes all waiting submissions, commits them as one group, syncs once, and
//! only then answers.
//!
//! The file is long because a group, its failure and the repair share the state that only this thread changes.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::catalogue::Catalogue;
use super::done::answer;
use super::engine::{self, Bytes, Changes, Engine, Opened};
use super::group::Group;
use super::journal_prealloc::JournalPrealloc;
use super::layout;
use super::queue::{Command, Taken};
use super::shared::{Shared, Slot};
use super::space::Space;
use super::{Durability, EngineError, SpaceError, StoreError};
use crate::unpoisoned::Unpoisoned as _;

/// What [`Durability::EverySecond`] means.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How long writes are refused after a failure before the engine is reopened; the time doubles after each failed try,
/// up to the maximum.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// A group is cut off at this many bytes, so that it stays well within one memtable.
const GROUP_BYTES: usize = 4 << 20;

/// The log target for refusing writes and accepting them again.
const TROUBLE: &str = "shibudb::store::trouble";

/// Below this much free space a full disk is not worth another try.
const ROOM_TO_RESUME: u64 = 1 << 20;

pub(super) struct Committer {
    shared: Arc<Shared>,
    durability: Durability,
    next_id: u64,
    /// When what was committed without a sync must be synced.
    sync_due: Option<Instant>,
    /// Something that was committed is not synced. The next commit records this, for the reader of the journal after a
    /// power failure.
    unsynced: bool,
    prealloc: JournalPrealloc,
    failure: Option<Failure>,
    /// The secret that marks the commits of this store.
    secret: Bytes,
}

/// Answers every waiting caller, however the thread ends.
struct End(Arc<Shared>);

/// The engine failed, and has not been reopened since.
struct Failure {
    reason: Arc<str>,
    /// The disk was full, and nothing else failed: no sync has failed, so nothing is in doubt. On the file systems in
    /// use, running out of space shows in a write. Anything else may have been a failed sync.
    disk_full: bool,
    retry_after: Duration,
    retry_at: Instant,
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

impl Committer {
    /// Starts the thread.
    pub(super) fn spawn(
        shared: Arc<Shared>,
        durability: Durability,
        next_id: u64,
    ) -> io::Result<JoinHandle<()>> {
        let prealloc = JournalPrealloc::new(engine::folder(&shared.dir));
        let secret = shared.manifest.facts().secret.into();
        let mut committer = Self {
            shared,
            durability,
            next_id,
            sync_due: None,
            unsynced: false,
            prealloc,
            failure: None,
            secret,
        };
        std::thread::Builder::new().name("store-commit".into()).spawn(move || {
            let _end = End(Arc::clone(&committer.shared));
            committer.run();
        })
    }

    fn run(&mut self) {
        loop {
            let retry_at = self.failure.as_ref().map(|failure| failure.retry_at);
            let deadline = [self.sync_due, retry_at].into_iter().flatten().min();
            match self.shared.queue.take(deadline) {
                Taken::Commands(commands) => {
                    self.try_recover();
                    self.execute(commands);
                }
                Taken::Deadline => self.try_recover(),
                Taken::Closed => break,
            }
            if self.sync_due.is_some_and(|due| due <= Instant::now()) {
                self.sync();
            }
        }
        if self.sync_due.is_some() {
            self.sync();
        }
    }

    fn execute(&mut self, commands: Vec<Command>) {
        let mut group = Group::default();
        for command in commands {
            match command {
                Command::CreateSpace { name, wal, reply } => {
                    self.commit(&mut group);
                    answer(reply, self.create_space(&name, wal));
                }
                Command::DeleteSpace { name, also, reply } => {
                    self.commit(&mut group);
                    answer(reply, self.delete_space(&name, also));
                }
                Command::Own { key, value, reply } => group.own(key, value, reply),
                Command::Trim => {
                    self.commit(&mut group);
                    self.trim();
                }
                Command::Write { writes, done } => {
                    // Reads what the keys hold now.
                    let on_disk = self.shared.disk_wait.call();
                    let written =
                        self.shared.with_engine(|engine| group.write(&self.shared.cache, engine, writes));
                    drop(on_disk);
                    match written {
                        Ok(outcomes) => group.tell_later(outcomes, done),
                        Err(error) => done.call(Err(error)),
                    }
                }
            }
            if group.bytes() >= GROUP_BYTES {
                self.commit(&mut group);
            }
        }
        self.commit(&mut group);
    }

    /// Commits a group and answers all its writers.
    fn commit(&mut self, group: &mut Group) {
        let group = std::mem::take(group);
        let sync = group.must_sync(self.durability);
        let (changes, waiting) = group.into_parts();
        let result = self.apply(changes, sync);
        waiting.answer(result);
    }

    fn create_space(&mut self, name: &str, wal: bool) -> Result<(), SpaceError> {
        if self.shared.spaces().contains_key(name) {
            return Err(SpaceError::AlreadyExists);
        }
        let space = Space::new(name, self.next_id, wal);
        // Used up even if the commit fails: it may have reached the disk.
        self.next_id += 1;
        let changes = vec![
            (layout::catalogue_key(name).into(), Some(layout::catalogue_value(&space).into())),
            (layout::next_key().into(), Some(self.next_id.to_be_bytes().into())),
        ];
        self.apply(changes, true)?;
        self.shared.add_space(space);
        Ok(())
    }

    fn delete_space(&mut self, name: &str, also: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), SpaceError> {
        let space = self.shared.spaces().get(name).cloned().ok_or(SpaceError::DoesNotExist)?;
        let mut changes = vec![
            (layout::catalogue_key(name).into(), None),
            (layout::deleted_key(space.id()).into(), Some([].into())),
        ];
        changes.extend(also.into_iter().map(|(key, value)| (key.into(), value.map(Bytes::from))));
        self.apply(changes, true)?;
        self.shared.remove_space(&space);
        self.shared.deleted.insert(space.id());
        self.shared.reclaimer.push(space.id());
        Ok(())
    }

    fn apply(&mut self, mut changes: Changes, sync: bool) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.recover()?;
        let writes = changes.len();
        // The first of the batch, where the reader of the journal looks for it.
        changes.insert(0, self.mark(self.unsynced));
        let on_disk = self.shared.disk_wait.call();
        if sync {
            self.prealloc.make_room_for(&changes);
        }
        let result = self.shared.with_engine(|engine| {
            let mut changing = self.shared.cache.begin(&changes);
            engine.commit(changes, sync)?;
            changing.keep_changed();
            Ok(())
        });
        drop(on_disk);
        self.unsynced = !sync;
        self.shared.tally.commit(writes, result.is_ok());
        match &result {
            // The sync of a group covers everything before it.
            Ok(()) if sync => self.sync_due = None,
            Ok(()) => self.sync_due = self.sync_due.or_else(|| Some(Instant::now() + SYNC_INTERVAL)),
            Err(_) => {}
        }
        result.map_err(|error| self.fail(error))
    }

    /// Frees the disk space of the journals, if they are not needed any more.
    fn trim(&mut self) {
        // This is the only writer. A write since the flush makes this wait until all is quiet again.
        let is_flushed = self.shared.with_engine(|engine| Ok(engine.is_flushed())).unwrap_or(false);
        if self.failure.is_some() || !is_flushed {
            return;
        }
        match reopen(&self.shared, Repair::Trim) {
            Ok(Reopened { repaired, .. }) => {
                // Opening has synced everything.
                (self.sync_due, self.unsynced) = (None, false);
                if let Err(error) = repaired {
                    tracing::warn!(%error, "cannot free the disk space of the journals: {error}");
                }
            }
            Err(error) => drop(self.fail(error)),
        }
    }

    fn sync(&mut self) {
        self.sync_due = None;
        // The commit says that the sync before it was done. It has no data to lose itself, but the next commit must not
        // claim that this one is on disk.
        let said = vec![self.mark(false)];
        let on_disk = self.shared.disk_wait.call();
        let synced = self.shared.with_engine(|engine| {
            engine.sync()?;
            Ok(engine.commit(said, false)?)
        });
        drop(on_disk);
        self.unsynced = true;
        if let Err(error) = synced {
            self.fail(error);
        }
    }

    /// The first item of a commit: whether everything before it was synced.
    fn mark(&self, unsynced: bool) -> (Bytes, Option<Bytes>) {
        let key = if unsynced { layout::UNSYNCED_KEY } else { layout::SYNCED_KEY };
        (key.into(), Some(self.secret.clone()))
    }

    /// Recovers without a write to ask for it: readers may be waiting for an engine that is not there.
    fn try_recover(&mut self) {
        if let Err(error) = self.recover() {
            tracing::debug!(%error, "the store is still not available: {error}");
        }
    }

    /// Refuses writes from now on. Returns the error to report.
    fn fail(&mut self, error: StoreError) -> StoreError {
        let disk_full = error.is_disk_full();
        // A failure in the background has left no reason.
        let on_disk = self.shared.disk_wait.call();
        let has_no_room =
            disk_full || (error.of_disk().is_none() && free_space(&self.shared) < ROOM_TO_RESUME);
        drop(on_disk);
        let error = if has_no_room && !disk_full {
            StoreError::from(EngineError::Disk(rustix::io::Errno::NOSPC.into()))
        } else {
            error
        };
        let reason: Arc<str> = error.cause().into();
        let trouble = self.shared.tally.fail(has_no_room, Arc::clone(&reason));
        let data_dir = self.shared.dir.display();
        tracing::error!(target: TROUBLE, error = %trouble.reason, %data_dir,
            "a write to the store in {data_dir} failed: {trouble}");
        self.sync_due = None;
        self.failure = Some(Failure {
            reason,
            disk_full,
            retry_after: RETRY_INTERVAL,
            retry_at: Instant::now() + RETRY_INTERVAL,
        });
        error
    }

    /// Reopens the engine if it has failed. See the module's documentation.
    fn recover(&mut self) -> Result<(), StoreError> {
        let Some(failure) = &mut self.failure else { return Ok(()) };
        let unavailable = StoreError::Unavailable(Arc::clone(&failure.reason));
        let now = Instant::now();
        if now < failure.retry_at {
            return Err(unavailable);
        }
        failure.retry_after = (failure.retry_after * 2).min(RETRY_INTERVAL_MAX);
        failure.retry_at = now + failure.retry_after;
        let on_disk = self.shared.disk_wait.call();
        let has_room =
            free_space(&self.shared) >= ROOM_TO_RESUME + room_to_repair(&self.shared, failure.disk_full);
        drop(on_disk);
        if !has_room {
            // Checking the space is cheap, and an operator who frees some should not wait long.
            failure.retry_after = RETRY_INTERVAL;
            return Err(unavailable);
        }
        let repair = if failure.disk_full { Repair::None } else { Repair::Rewrite };
        let reopened = reopen(&self.shared, repair).and_then(|Reopened { next_id, repaired }| {
            repaired.map_err(EngineError::Disk)?;
            Ok(next_id)
        });
        match reopened {
            Ok(next_id) => {
                let since = self.shared.tally.recover().map(|trouble| trouble.since);
                let seconds = since.map_or(0, |since| Timestamp::now().duration_since(since).as_secs());
                tracing::info!(target: TROUBLE, seconds, "the store accepts writes again, after {seconds} s");
                self.next_id = self.next_id.max(next_id);
                // Opening has synced everything.
                (self.failure, self.unsynced) = (None, false);
                Ok(())
            }
            Err(error) => {
                let reason: Arc<str> = error.cause().into();
                if failure.reason != reason {
                    tracing::warn!(%error, "the store cannot recover yet: {error}");
                }
                self.shared.tally.trouble_is(error.is_disk_full(), Arc::clone(&reason));
                failure.reason = reason;
                Err(error)
            }
        }
    }
}

/// What to do with the journals while the engine is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    None,
    /// They are rewritten.
    Rewrite,
    /// They are replaced by an empty one, if all that they hold is in tables.
    Trim,
}

/// The result of reopening the engine.
struct Reopened {
    /// The number for the next space.
    next_id: u64,
    /// Whether the repair of the journals worked. There is an engine in any case.
    repaired: io::Result<()>,
}

/// Closes the engine, repairs its journals as told, and opens it. Calls to the engine wait meanwhile; what is kept in
/// memory is still read.
fn reopen(shared: &Shared, repair: Repair) -> Result<Reopened, StoreError> {
    // The wait for a caller that uses the engine for long counts as a wait for the disk.
    let _on_disk = shared.disk_wait.call();
    let _long_use = shared.long_use.lock().unpoisoned();
    let mut slot = shared.slot_mut();
    // Dropped before the next is opened: the engine locks its directory.
    *slot = Slot::Failed("being opened again".into());
    let repaired = match repair {
        Repair::None => Ok(()),
        Repair::Rewrite => Engine::rewrite_journals(&shared.dir),
        Repair::Trim => trim_journals(shared),
    };
    let known = shared.manifest.facts();
    let catalogue =
        Engine::open(&shared.dir, &shared.deleted, Some(&known)).and_then(|Opened { engine, .. }| {
            let catalogue = Catalogue::load(&engine)?;
            let synced = engine.sync();
            // What was reported as failed may turn out to have happened. The new engine has not answered any reader
            // yet.
            shared.cache.clear();
            *slot = Slot::Open(engine);
            Ok((catalogue, synced))
        });
    match catalogue {
        Ok((catalogue, synced)) => {
            drop(slot);
            let next_id = catalogue.next;
            shared.adopt(catalogue);
            synced?;
            Ok(Reopened { next_id, repaired })
        }
        Err(error) => {
            *slot = Slot::Failed(error.cause().into());
            Err(error)
        }
    }
}

/// The manifest records the new journal before the old ones go: a crash at any moment leaves what it expects.
fn trim_journals(shared: &Shared) -> io::Result<()> {
    let Some(journal) = Engine::begin_journal(&shared.dir)? else { return Ok(()) };
    shared.manifest.change(|facts| facts.journal = Some(journal))?;
    Engine::remove_journals_before(&shared.dir, journal)
}

/// How much free space the repair needs, if one is due: starting without it would only fill the disk and keep readers
/// waiting.
fn room_to_repair(shared: &Shared, disk_full: bool) -> u64 {
    if disk_full {
        return 0;
    }
    // If the journals cannot be read, the repair will report why.
    Engine::room_to_rewrite(&shared.dir).unwrap_or(0)
}

/// Waits for the disk.
fn free_space(shared: &Shared) -> u64 {
    // If the system does not report it, only a try shows whether there is space.
    shared.disk().map_or(u64::MAX, |disk| disk.available)
}
