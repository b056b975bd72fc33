//! One process per data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use super::OpenError;

const FILE: &str = "lock";

/// Held as long as the store is open; the system gives it back however the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes `dir` if need be, and locks it.
    pub(super) fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let not_usable = |source| OpenError::NotUsable { path: dir.into(), source };
        fs::create_dir_all(dir).map_err(not_usable)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(FILE))
            .map_err(not_usable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.into() }),
            Err(TryLockError::Error(source)) => Err(not_usable(source)),
        }
    }
}
