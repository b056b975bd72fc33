//! Who is told what: the callback of a submission, which is called exactly once, whatever happens, and answers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::{Outcome, StoreError};

/// What became of a submission.
pub(super) type Written = Result<Vec<Outcome>, StoreError>;

/// Whom to tell what became of a submission. Dropped uncalled, it says [`StoreError::Closed`]: so
/// whoever waits hears of it even if a thread of the store panics.
pub(super) struct Done(Option<Box<dyn FnOnce(Written) + Send>>);

impl Done {
    pub(super) fn new(callback: impl FnOnce(Written) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    pub(super) fn call(mut self, written: Written) {
        self.tell(written);
    }

    /// A panic of one callback must not keep the others from being called.
    fn tell(&mut self, written: Written) {
        let Some(callback) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| callback(written))).is_err() {
            tracing::error!("whoever was told what became of a write has panicked");
        }
    }
}

/// Whoever asked may have gone away meanwhile; then nobody needs the answer.
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
