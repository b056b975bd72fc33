//! Upkeep, on a thread of its own: frees the disk space of deleted spaces and of journals that are not needed any more,
//! and keeps the manifest up to date.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::{self, Engine};
use super::queue::Command;
use super::shared::Shared;
use super::{EngineError, StoreError, journal, layout};
use crate::unpoisoned::Unpoisoned as _;

/// The pause between two checks whether anything was written.
const LOOK: Duration = Duration::from_secs(1);

/// After this many checks without a write, the journals may go.
const QUIET_LOOKS: u32 = 5;

/// Journals that take less than this on the disk, in bytes, stay: reading them is quick.
const SMALL: u64 = 8 << 20;

/// The work of the thread.
#[derive(Default)]
pub(super) struct Reclaimer {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    /// The numbers of the spaces whose keys to drop.
    ids: Vec<u64>,
    closed: bool,
}

/// What woke the thread.
enum Taken {
    Deleted(Vec<u64>),
    Look,
    Closed,
}

/// The state at the last check.
#[derive(Default)]
struct Quiet {
    commits: u64,
    looks: u32,
    noted: bool,
}

impl Reclaimer {
    pub(super) fn push(&self, id: u64) {
        let mut state = self.state();
        if !state.ids.contains(&id) {
            state.ids.push(id);
        }
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
    }

    fn take(&self) -> Taken {
        let state = self.state();
        let waits = |state: &mut State| !state.closed && state.ids.is_empty();
        let waited = self.arrived.wait_timeout_while(state, LOOK, waits);
        let (mut state, _) = waited.unpoisoned();
        match &mut *state {
            State { closed: true, .. } => Taken::Closed,
            State { ids, .. } if ids.is_empty() => Taken::Look,
            State { ids, .. } => Taken::Deleted(mem::take(ids)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

/// Runs until the reclaimer is closed. The remaining work is done after the next start.
pub(super) fn run(shared: &Shared) {
    let mut quiet = Quiet::default();
    loop {
        match shared.reclaimer.take() {
            Taken::Deleted(ids) => reclaim(shared, &ids),
            Taken::Look => quiet.look(shared),
            Taken::Closed => return,
        }
    }
}

fn reclaim(shared: &Shared, ids: &[u64]) {
    let reclaimed = with_engine_for_long(shared, |engine| engine.reclaim(ids)).and_then(|()| {
        forget(shared, ids);
        with_engine_for_long(shared, Engine::release_replaced)
    });
    match reclaimed {
        Ok(()) => tracing::debug!(spaces = ids.len(), "freed the disk space of {} deleted spaces", ids.len()),
        // Aborted; the next start begins again.
        Err(_) if shared.deleted.is_closing() => {}
        // The engine failed: its next opening finds these spaces in the catalogue again.
        Err(error) => tracing::warn!(%error, "cannot free the disk space of deleted spaces yet: {error}"),
    }
}

impl Quiet {
    fn look(&mut self, shared: &Shared) {
        let commits = shared.tally.commits();
        if commits != self.commits {
            *self = Self { commits, ..Self::default() };
        }
        shared.look_at_contents();
        self.looks = self.looks.saturating_add(1);
        if !self.noted {
            match shared.note_journal() {
                Ok(()) => self.noted = true,
                Err(error) => tracing::debug!(%error, "cannot write the manifest of the store: {error}"),
            }
        }
        if self.looks == QUIET_LOOKS {
            trim(shared);
        }
    }
}

/// Has the journals trimmed, if that is worth while.
fn trim(shared: &Shared) {
    if journal::size(&engine::folder(&shared.dir)).unwrap_or(0) < SMALL {
        return;
    }
    match with_engine_for_long(shared, Engine::flush) {
        Ok(()) => shared.queue.push(Command::Trim),
        // The next opening reads them; the caller that hit the engine's failure reports it.
        Err(error) => tracing::debug!(%error, "cannot free the disk space of the journals: {error}"),
    }
}

/// Uses a clone, so that the slot is not locked for long; `long_use` keeps the engine in place.
fn with_engine_for_long(
    shared: &Shared,
    use_engine: impl FnOnce(&Engine) -> Result<(), EngineError>,
) -> Result<(), StoreError> {
    let _long_use = shared.long_use.lock().unpoisoned();
    let engine = shared.with_engine(|engine| Ok(engine.clone()))?;
    Ok(use_engine(&engine)?)
}

/// Removes the spaces from the catalogue of spaces to reclaim.
fn forget(shared: &Shared, ids: &[u64]) {
    for &id in ids {
        let (reply, stored) = oneshot::channel();
        let command = Command::Own { key: layout::deleted_key(id), value: None, reply };
        // At worst the next start reclaims them once more, and finds nothing.
        shared.queue.push(command);
        if !matches!(stored.blocking_recv(), Ok(Ok(()))) {
            return;
        }
        shared.deleted.remove(id);
    }
}

/// Starts the thread.
pub(super) fn spawn(shared: &Arc<Shared>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("store-reclaim".into()).spawn(move || run(&shared))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::store::{Durability, Store};

    /// To the watchdog, a committer that reports no wait looks stuck.
    #[test]
    fn a_committer_that_waits_for_upkeep_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Durability::EverySecond).unwrap();
        let shared = Arc::clone(&store.open.shared);
        with_engine_for_long(&shared, Engine::flush).unwrap();
        let long_use = shared.long_use.lock().unwrap();
        shared.queue.push(Command::Trim);
        let deadline = Instant::now() + Duration::from_secs(60);
        while store.waits_for_disk().is_none() {
            assert!(Instant::now() < deadline, "it is not known to wait for the disk");
            thread::yield_now();
        }
        drop(long_use);
        store.close().unwrap();
    }
}
