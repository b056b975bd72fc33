//! One process per data directory.
//!
//! The lock is on the directory itself: unlike a file in it, it cannot be replaced while it is in use without moving
//! all stored data along. The file `lock` is locked as well, for file systems on which a directory cannot be locked
//! (NFS and some of FUSE), and because earlier versions lock nothing else.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::OpenError;
use crate::private;

const FILE: &str = "lock";

/// Held as long as the store is open; the system releases it however the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _directory: File,
    _file: File,
}

impl DirectoryLock {
    /// Creates `dir` if it does not exist, and locks it.
    pub(super) fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let not_usable = |source| OpenError::NotUsable { path: dir.into(), source };
        private::make_dir(dir).map_err(not_usable)?;
        let directory = File::open(dir).map_err(not_usable)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: dir.into() }),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "cannot lock the data directory itself ({error}); only the lock file \
                    protects it");
            }
        }
        let file = dir.join(FILE);
        loop {
            let opened = private::open(&file, private::options().create(true).write(true));
            let opened = opened.map_err(not_usable)?;
            match opened.try_lock() {
                // If the name means another file by now, the lock would exclude no other process.
                Ok(()) if !private::is_at(&opened, &file).map_err(not_usable)? => {}
                Ok(()) => return Ok(Self { _directory: directory, _file: opened }),
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: dir.into() }),
                Err(TryLockError::Error(source)) => return Err(not_usable(source)),
            }
        }
    }
}
