//! Tracks which keys are being changed, so that a reader keeps nothing older than the engine's content.
//!
//! The keys are spread over stripes. A stripe is open while a key of it is being changed. A reader's result is true if
//! its stripe was closed from before it asked the engine until after: [`Stripes::closed`] and
//! [`Stripes::if_still_closed`] check that. `tests/library/interleavings/` runs this code through every interleaving.

use super::sync::{Mutex, MutexGuard, Unpoisoned};

/// All stripes.
pub(super) struct Stripes(Box<[Mutex<Stripe>]>);

/// A share of all keys.
#[derive(Default)]
struct Stripe {
    /// Changes that are under way.
    open: u32,
    /// Changes that are done.
    done: u32,
}

/// Proof that a stripe was closed, with the number of its changes.
pub(super) struct Closed {
    done: u32,
}

impl Stripes {
    pub(super) fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(count).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Must be called before asking the engine. `None` while a key of the stripe is being changed.
    pub(super) fn closed(&self, stripe: usize) -> Option<Closed> {
        let stripe = self.lock(stripe);
        (stripe.open == 0).then_some(Closed { done: stripe.done })
    }

    /// Calls `keep` if no key of the stripe has been changed since then. No change can begin until it returns.
    #[expect(clippy::needless_pass_by_value, reason = "it is of one question to the engine")]
    pub(super) fn if_still_closed(&self, stripe: usize, since: Closed, keep: impl FnOnce()) {
        let stripe = self.lock(stripe);
        if stripe.open == 0 && stripe.done == since.done {
            keep();
        }
    }

    /// A key of the stripe is about to be changed. From the call of `forget` on, no reader keeps anything of the
    /// stripe.
    pub(super) fn open<T>(&self, stripe: usize, forget: impl FnOnce() -> T) -> T {
        let mut stripe = self.lock(stripe);
        stripe.open += 1;
        forget()
    }

    /// The engine has the change, or has refused it. Must be called as often as [`Self::open`].
    pub(super) fn close(&self, stripe: usize) {
        let mut stripe = self.lock(stripe);
        stripe.open -= 1;
        stripe.done = stripe.done.wrapping_add(1);
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, Stripe> {
        self.0[stripe].lock().unpoisoned()
    }
}
