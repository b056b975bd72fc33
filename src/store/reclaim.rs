//! Gives the disk space of deleted spaces back, on a thread of its own.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::StoreError;
use super::engine::Engine;
use super::layout;
use super::queue::Command;
use super::shared::Shared;

/// The numbers of the spaces whose keys are to be forgotten.
#[derive(Default)]
pub(super) struct Reclaimer {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    ids: Vec<u64>,
    closed: bool,
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

    fn take(&self) -> Option<Vec<u64>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if !state.ids.is_empty() {
                return Some(mem::take(&mut state.ids));
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the reclaimer is closed. What is left then is done after the next start.
pub(super) fn run(shared: &Shared) {
    while let Some(ids) = shared.reclaimer.take() {
        let reclaimed = with_engine_for_long(shared, |engine| engine.reclaim(&ids)).and_then(|()| {
            forget(shared, &ids);
            with_engine_for_long(shared, Engine::release_replaced)
        });
        match reclaimed {
            Ok(()) => tracing::debug!(spaces = ids.len(), "the disk space of deleted spaces is given back"),
            // Broken off; the next start begins anew.
            Err(_) if shared.deleted.is_closing() => {}
            // The engine failed: its next opening finds these spaces in the catalogue again.
            Err(error) => tracing::warn!(%error, "cannot give the space of deleted spaces back yet"),
        }
    }
}

/// Uses a clone, so that the slot is not locked for so long; `long_use` keeps the engine in place.
fn with_engine_for_long(
    shared: &Shared,
    use_engine: impl FnOnce(&Engine) -> Result<(), fjall::Error>,
) -> Result<(), StoreError> {
    let _long_use = shared.long_use.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = shared.with_engine(|engine| Ok(engine.clone()))?;
    Ok(use_engine(&engine)?)
}

/// Takes the spaces out of the catalogue of what is to be reclaimed.
fn forget(shared: &Shared, ids: &[u64]) {
    for &id in ids {
        let (reply, stored) = oneshot::channel();
        let command = Command::Own { key: layout::deleted_key(id), value: None, reply };
        // At worst it is reclaimed once more after the next start, which finds nothing.
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
