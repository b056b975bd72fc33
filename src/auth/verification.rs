//! Identical attempts under way at once share one verification, and those of one address also share the
//! turn that they wait for.
//!
//! After a restart every pool of a user logs in with the same password in the same second: one
//! hash serves all of them. If their address is [throttled](super::throttle) at that moment because
//! of another client there, they need one turn instead of being refused for want of 500.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OnceCell;

use crate::unpoisoned::Unpoisoned as _;

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// It was not checked, since too many others were waiting.
    Throttled,
}

/// Attempts by what makes them identical.
pub(super) struct Verifications<K> {
    under_way: Mutex<HashMap<K, Arc<OnceCell<Verdict>>>>,
}

/// Takes part in a verification; the last to leave removes it.
struct Participant<'a, K: Copy + Eq + Hash> {
    verifications: &'a Verifications<K>,
    attempt: K,
    verdict: Arc<OnceCell<Verdict>>,
}

impl<K: Copy + Eq + Hash> Verifications<K> {
    /// The result of `verify`, or of another caller's with the same attempt. If that
    /// caller goes away before it is known, the next takes over.
    pub(super) async fn run(&self, attempt: K, verify: impl Future<Output = Verdict>) -> Verdict {
        let verdict = Arc::clone(self.under_way().entry(attempt).or_default());
        let participant = Participant { verifications: self, attempt, verdict };
        *participant.verdict.get_or_init(|| verify).await
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<Verdict>>>> {
        self.under_way.lock().unpoisoned()
    }
}

impl<K> Default for Verifications<K> {
    fn default() -> Self {
        Self { under_way: Mutex::default() }
    }
}

impl<K: Copy + Eq + Hash> Drop for Participant<'_, K> {
    fn drop(&mut self) {
        // Counted under the lock under which all participants join. A verdict holds for one moment: a
        // later caller must verify anew, so it is removed as soon as it is known.
        if let Entry::Occupied(entry) = self.verifications.under_way().entry(self.attempt)
            && Arc::ptr_eq(entry.get(), &self.verdict)
            && (self.verdict.initialized() || Arc::strong_count(&self.verdict) == 2)
        {
            entry.remove();
        }
    }
}
