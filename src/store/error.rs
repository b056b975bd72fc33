//! What can go wrong in the store, by operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::names::{InvalidName, LooksLike};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be created, read or written.
    #[error("data directory {} is not usable: {source}", path.display())]
    NotUsable {
        /// The data directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process has this data directory open.
    #[error("data directory {} is in use by another process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The manifest does not hold what the store has written.
    #[error(
        "{} is damaged; restore it from a backup, or, if the directory `store` beside it is complete, move it away: \
         the next start recreates it",
        path.display()
    )]
    Manifest {
        /// The manifest.
        path: PathBuf,
    },
    /// The engine could not read the stored files.
    #[error("cannot open the store in {}: {source}", path.display())]
    Engine {
        /// The data directory.
        path: PathBuf,
        /// The error of the engine or the catalogue.
        source: StoreError,
    },
}

/// Why a read or a write did not happen. A failed write was not acknowledged; it may or may not survive, as with every
/// failed commit.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The space was deleted. It may have been created anew since, but that is another space.
    #[error("space not found")]
    NoSuchSpace,
    /// The disk or the engine failed.
    #[error("storage error: {0}")]
    Engine(#[source] Arc<EngineError>),
    /// Something that the store wrote does not read back as written.
    #[error("storage is damaged: {0}")]
    Damaged(&'static str),
    /// A journal does not read back as it was written and synced.
    #[error(
        "storage is damaged: {} was synced to the disk but is not readable from byte {intact} on; restore the data \
         directory from a backup, or, to discard the rest, copy this file to a safe place and shorten it with \
         `truncate --size={intact}`",
        path.display()
    )]
    JournalDamaged {
        /// The journal.
        path: Arc<Path>,
        /// How much of it is intact.
        intact: usize,
    },
    /// Nothing of a journal can be read, though something was synced to it.
    #[error(
        "storage is damaged: nothing in {} can be read, though data was synced to it; restore the data directory \
         from a backup, or, to discard the data of this file, copy the data directory to a safe place, empty the \
         file with `truncate --size=0` and remove {manifest}",
        path.display()
    )]
    JournalUnreadable {
        /// The journal.
        path: Arc<Path>,
        /// The name of the manifest.
        manifest: &'static str,
    },
    /// A journal is gone.
    #[error(
        "storage is damaged: {} is missing; put it back or restore the data directory from a backup, or, to discard \
         the data of this file, copy the data directory to a safe place, create an empty file with this name and \
         remove {manifest}",
        path.display()
    )]
    JournalMissing {
        /// The journal.
        path: Arc<Path>,
        /// The name of the manifest.
        manifest: &'static str,
    },
    /// A file or folder without which nothing can be read is gone.
    #[error(
        "storage is damaged: {} is missing; put it back or restore the data directory from a backup, or move the \
         data directory away to start empty",
        path.display()
    )]
    Missing {
        /// What is missing.
        path: Arc<Path>,
    },
    /// A file does not hold what the engine has written to it.
    #[error(
        "storage is damaged: {} does not read back as it was written; restore the data directory from a backup",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: Arc<Path>,
    },
    /// The store was written by another version of the engine.
    #[error(
        "{} has format {found}, and this version of shibudb reads format {known}; start the version of shibudb \
         that wrote it",
        path.display()
    )]
    Format {
        /// The file.
        path: Arc<Path>,
        /// Its format.
        found: u8,
        /// The one that can be read.
        known: u8,
    },
    /// A read or write failed before, and the store has not recovered from it yet.
    #[error("storage is not available: {0}")]
    Unavailable(Arc<str>),
    /// The store is closed.
    #[error("storage is closed")]
    Closed,
}

/// What failed in the engine, or below it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk or its file system.
    #[error("{}", describe_disk(.0))]
    Disk(#[from] io::Error),
    /// A write failed earlier, and the engine accepts none until it is reopened.
    #[error("an earlier write to the disk failed")]
    Poisoned,
    /// Anything else, in the engine's own words.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a space was not created or deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpaceError {
    /// There is a space of this name.
    #[error("space already exists")]
    AlreadyExists,
    /// There is no space of this name.
    #[error("space does not exist")]
    DoesNotExist,
    /// The name is not valid for a space.
    #[error("space name {0}")]
    InvalidName(#[from] InvalidName),
    /// It looks like the name of another space.
    #[error("space name {0}")]
    LooksLike(#[from] LooksLike),
    /// The change could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Whether the next start would fail in the same way: the stored data is damaged, or written by another version.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::NotUsable { .. } | Self::InUse { .. } => false,
            Self::Manifest { .. } => true,
            Self::Engine { source, .. } => source.is_damage(),
        }
    }
}

impl StoreError {
    /// Whether the stored data is not what was written, or is for another version.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_)
            | Self::JournalDamaged { .. }
            | Self::JournalUnreadable { .. }
            | Self::JournalMissing { .. }
            | Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::Format { .. } => true,
            Self::NoSuchSpace | Self::Engine(_) | Self::Unavailable(_) | Self::Closed => false,
        }
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Arc::new(error))
    }
}

impl StoreError {
    /// The text of the root cause.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Engine(error) => error.to_string(),
            Self::Unavailable(cause) => cause.to_string(),
            other => other.to_string(),
        }
    }

    /// The system's error from the disk, if that is the cause.
    pub(super) fn of_disk(&self) -> Option<&io::Error> {
        match self {
            Self::Engine(error) => match &**error {
                EngineError::Disk(error) => Some(error),
                EngineError::Poisoned | EngineError::Other(_) => None,
            },
            _ => None,
        }
    }

    /// Whether the disk or the quota is full.
    pub(super) fn is_disk_full(&self) -> bool {
        self.of_disk().is_some_and(is_full)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The meaning of the error, followed by the text of the system.
fn describe_disk(error: &io::Error) -> String {
    let meaning = match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full",
        io::ErrorKind::QuotaExceeded => "the disk quota of the server's user is exceeded",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => "the disk has failed",
        _ => return error.to_string(),
    };
    format!("{meaning}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_says_is_said_in_words() {
        let of_engine = |number| StoreError::from(EngineError::Disk(io::Error::from_raw_os_error(number)));
        for (number, full, words) in [
            (libc::ENOSPC, true, "the disk is full: No space left on device (os error 28)"),
            (
                libc::EDQUOT,
                true,
                "the disk quota of the server's user is exceeded: Disk quota exceeded (os error 122)",
            ),
            (libc::EIO, false, "the disk has failed: Input/output error (os error 5)"),
            (libc::EROFS, false, "the file system is read-only: Read-only file system (os error 30)"),
        ] {
            let error = of_engine(number);
            assert_eq!(error.to_string(), format!("storage error: {words}"));
            assert_eq!(error.is_disk_full(), full);
            let later = StoreError::Unavailable(error.cause().into());
            assert_eq!(later.to_string(), format!("storage is not available: {words}"));
        }
    }
}
