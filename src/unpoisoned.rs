//! Locks that a panic leaves usable.

use std::sync::{LockResult, PoisonError};

/// A lock whose holder has panicked: it is taken all the same.
///
/// For locks under which nothing is left half done where a panic can happen. The panic itself is logged, and ends or
/// restarts what it must; the others that need the lock go on.
pub(crate) trait Unpoisoned<Guard> {
    /// The guard, poisoned or not.
    fn unpoisoned(self) -> Guard;
}

impl<Guard> Unpoisoned<Guard> for LockResult<Guard> {
    fn unpoisoned(self) -> Guard {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
