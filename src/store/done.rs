//! Answers to callers: the callback of a submission, which is called exactly once, whatever happens, and replies.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::{Outcome, StoreError};

/// The outcome of a submission.
pub(super) type Written = Result<Vec<Outcome>, StoreError>;

/// The callback for the outcome of a submission. Dropped uncalled, it reports [`StoreError::Closed`]: so the caller
/// gets an answer even if a thread of the store panics.
pub(super) struct Done(Option<Box<dyn FnOnce(Written) + Send>>);

impl Done {
    pub(super) fn new(callback: impl FnOnce(Written) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    pub(super) fn call(mut self, written: Written) {
        self.tell(written);
    }

    /// A panic of one callback must not prevent the others from being called.
    fn tell(&mut self, written: Written) {
        let Some(callback) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| callback(written))).is_err() {
            tracing::error!("whoever was told what became of a write has panicked");
        }
    }
}

/// The caller may have gone meanwhile; then the answer is not needed.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, result: T) {
    drop(reply.send(result));
}

impl Drop for Done {
    fn drop(&mut self) {
        self.tell(Err(StoreError::Closed));
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}
