//! In place of systemd: checks that the watchdog is notified in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::ears::Ears;
use crate::harness::wait_until;

/// Listens all the time.
pub(crate) struct Watch {
    fed: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn over(ears: Ears) -> Self {
        let (fed, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let listener = {
            let (fed, over) = (Arc::clone(&fed), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let message = ears.hear_within(Duration::from_millis(100));
                    if message.is_some_and(|message| message.has("WATCHDOG")) {
                        fed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        Self { fed, over, listener: Some(listener) }
    }

    /// Checks that it is still notified from now on.
    #[track_caller]
    pub(crate) fn is_fed(&self) {
        let before = self.fed.load(Ordering::Relaxed);
        wait_until("the watchdog is fed", || self.fed.load(Ordering::Relaxed) >= before + 2);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            listener.join().ok();
        }
    }
}
