//! A space: a named set of keys, and the rules for its name.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::names::{self, InvalidName};

/// A named set of keys. A cheap handle.
///
/// It stands for this one space, not for its name: after a deletion every use fails with
/// [`StoreError::NoSuchSpace`](super::StoreError::NoSuchSpace), even if a new space has taken the name.
#[derive(Clone)]
pub struct Space {
    inner: Arc<Inner>,
}

struct Inner {
    name: Box<str>,
    id: u64,
    wal: bool,
    deleted: AtomicBool,
}

impl Space {
    pub(super) fn new(name: &str, id: u64, wal: bool) -> Self {
        Self { inner: Arc::new(Inner { name: name.into(), id, wal, deleted: AtomicBool::new(false) }) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether an acknowledged write is as durable as the store was opened for. If not, a crash may lose the last
    /// second.
    pub fn wal(&self) -> bool {
        self.inner.wal
    }

    pub(super) fn id(&self) -> u64 {
        self.inner.id
    }

    /// Whether it was deleted. Another space may have its name by now.
    pub(crate) fn is_deleted(&self) -> bool {
        self.inner.deleted.load(Ordering::Acquire)
    }

    pub(super) fn mark_deleted(&self) {
        self.inner.deleted.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("name", &self.name()).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl PartialEq for Space {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Space {}

/// Whether a space can have this name: it must be valid as any name ([`names`]), and not be a path.
///
/// Names never become paths here, but they end up in scripts, logs and exports of others.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), InvalidName> {
    names::check(name)?;
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        return Err(InvalidName::Path);
    }
    Ok(())
}
