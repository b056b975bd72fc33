//! A space: a named set of keys, and what may be its name.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest name of a space, in bytes of UTF-8.
pub const MAX_NAME_LEN: usize = 255;

/// A named set of keys. A cheap handle.
///
/// It stands for this one space, not for its name: after a deletion every use says
/// [`StoreError::NoSuchSpace`](super::StoreError::NoSuchSpace), also when a new space has taken the name.
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

/// Why a text cannot be the name of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty.
    #[error("space name must not be empty")]
    Empty,
    /// It is too long.
    #[error("space name must not exceed {MAX_NAME_LEN} bytes")]
    TooLong,
    /// It holds a control character, or one that is not visible or reorders its neighbours.
    #[error("space name must consist of visible characters")]
    NotVisible,
    /// It starts or ends with white space.
    #[error("space name must not start or end with white space")]
    Padded,
    /// It is a path or could be taken for one.
    #[error("space name must not contain / or \\ and must not be . or ..")]
    Path,
}

impl Space {
    pub(super) fn new(name: &str, id: u64, wal: bool) -> Self {
        Self { inner: Arc::new(Inner { name: name.into(), id, wal, deleted: AtomicBool::new(false) }) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether an acknowledged write is as durable as the store was opened for. Without, the last
    /// second may be lost in a crash.
    pub fn wal(&self) -> bool {
        self.inner.wal
    }

    pub(super) fn id(&self) -> u64 {
        self.inner.id
    }

    /// Whether it was deleted. Its name may be another space's by now.
    pub fn is_deleted(&self) -> bool {
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

/// Whether a space can be called that: 1 to [`MAX_NAME_LEN`] bytes of visible text.
///
/// Names never become paths here, but they end up in scripts, logs and exports of others.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(InvalidName::TooLong);
    }
    if !name.chars().all(is_visible) {
        return Err(InvalidName::NotVisible);
    }
    if name.trim() != name {
        return Err(InvalidName::Padded);
    }
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        return Err(InvalidName::Path);
    }
    Ok(())
}

/// Neither a control character nor one of those that show nothing or turn the text around, with
/// which two different names would look the same.
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}
