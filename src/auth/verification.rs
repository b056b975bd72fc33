//! Identical attempts under way at once share one verification.
//!
//! After a restart every pool of a user logs in with the same password in the same second: one
//! hash tells for all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::proof::Mac;

#[derive(Default)]
pub(super) struct Verifications {
    under_way: Mutex<HashMap<Mac, Arc<OnceCell<bool>>>>,
}

/// Takes part in a verification; the last to leave forgets it.
struct Participant<'a> {
    verifications: &'a Verifications,
    mac: Mac,
    verdict: Arc<OnceCell<bool>>,
}

impl Verifications {
    /// What `verify` says, or what it says to another who came with the same attempt. If that
    /// other one goes away before it knows, the next takes over.
    pub(super) async fn run(&self, mac: Mac, verify: impl Future<Output = bool>) -> bool {
        let verdict = Arc::clone(self.under_way().entry(mac).or_default());
        let participant = Participant { verifications: self, mac, verdict };
        *participant.verdict.get_or_init(|| verify).await
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Mac, Arc<OnceCell<bool>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Participant<'_> {
    fn drop(&mut self) {
        // Counted under the lock that everybody joins under. A verdict is of one moment: whoever
        // comes after it is known must ask anew, so it is forgotten as soon as there is one.
        if let Entry::Occupied(entry) = self.verifications.under_way().entry(self.mac)
            && Arc::ptr_eq(entry.get(), &self.verdict)
            && (self.verdict.initialized() || Arc::strong_count(&self.verdict) == 2)
        {
            entry.remove();
        }
    }
}
