//! What can be seen of a file without the kernel telling anything.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a look from outside shows of a file; `Err` is why it shows nothing.
pub(super) type FileStamp = Result<Identity, io::ErrorKind>;

/// Which file it is, and what changes when it does.
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
    /// Which file it is, whatever is in it.
    pub(super) fn file(self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// For how long it has been as it is, by the clocks of its file system and of this machine.
    pub(super) fn age(self) -> Duration {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let changed = changed.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        changed.map_or(Duration::ZERO, |changed| now.saturating_sub(changed))
    }
}

/// Looks at the file that `path` leads to by now.
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
