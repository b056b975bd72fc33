//! A file's state as visible without events of the kernel.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The state of a file; `Err` is why there is none.
pub(super) type FileStamp = Result<Identity, io::ErrorKind>;

/// The file's identity, and what changes when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Whether it is a regular file: anything else is not written and closed like one.
    pub(super) regular: bool,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The file's identity, whatever its content.
    pub(super) fn file(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// How long it has been unchanged, by the clocks of its file system and of this machine.
    pub(super) fn age(self) -> Duration {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let changed = changed.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        changed.map_or(Duration::ZERO, |changed| now.saturating_sub(changed))
    }
}

/// The stamp of the file that `path` leads to now.
pub(super) fn stamp(path: &Path) -> FileStamp {
    let metadata = fs::metadata(path).map_err(|error| error.kind())?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        regular: metadata.is_file(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
