//! From a path to settings. Reads only regular files, whole, and only up to a size limit.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::{Parsed, Problems, parse};
use crate::reading;

/// The most bytes a config file may have. Anything larger is some other file.
pub const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// Why a config file could not be used. Displayed with its path.
#[derive(Debug)]
pub enum LoadError {
    /// It is missing, or may not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The path is not a file.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind of file found.
        found: Found,
    },
    /// It was deleted or replaced, but a mount still shows it.
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// It is larger than [`MAX_FILE_SIZE`], and has not been read.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its text is not a valid configuration. Displayed as `path:line:column: what`, one problem per line.
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: Problems,
    },
}

/// What may be at the path of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A device or a socket.
    Other,
}

/// Reads and parses the config file at `path`. `shibudb check` does exactly this.
///
/// # Errors
/// A [`LoadError`]; it names the file.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    parse_file(path, &read(path)?)
}

/// Reads the text of the config file at `path`.
///
/// # Errors
/// A [`LoadError`] other than [`LoadError::Invalid`].
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Read { path: path.to_owned(), source };
    let file = reading::open(path, |metadata| check(path, metadata), unreadable)?;
    if is_kept_by_a_mount(path, &file.metadata().map_err(unreadable)?) {
        return Err(LoadError::Replaced { path: path.to_owned() });
    }
    // The size may have changed since, so the read is bounded too.
    let text = reading::up_to(file, MAX_FILE_SIZE).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_SIZE {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Parses the text of the file at `path`.
///
/// # Errors
/// [`LoadError::Invalid`]
pub(crate) fn parse_file(path: &Path, text: &[u8]) -> Result<Parsed, LoadError> {
    parse(text).map_err(|problems| LoadError::Invalid { path: path.to_owned(), problems })
}

/// Whether the file no longer has a name and is visible through a mount of its own, as in a container with a single
/// mounted file: a replacement outside stays invisible.
fn is_kept_by_a_mount(path: &Path, metadata: &Metadata) -> bool {
    // Not by the link count alone, which some file systems do not maintain.
    metadata.nlink() == 0
        && statx(CWD, path, AtFlags::empty(), StatxFlags::INO).is_ok_and(|seen| {
            let told = seen.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
            seen.stx_ino == metadata.ino()
                && (!told || seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        })
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), LoadError> {
    use std::os::unix::fs::FileTypeExt as _;
    if !metadata.is_file() {
        let kind = metadata.file_type();
        let found = match () {
            () if kind.is_dir() => Found::Directory,
            () if kind.is_fifo() => Found::Pipe,
            () => Found::Other,
        };
        return Err(LoadError::NotAFile { path: path.to_owned(), found });
    }
    if metadata.len() > MAX_FILE_SIZE {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(())
}

impl LoadError {
    /// The file concerned.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Replaced { path }
            | Self::TooLarge { path }
            | Self::Invalid { path, .. } => path,
        }
    }

    /// Whether only this user lacks the permission to read it; another one, such as the server's, may have it.
    pub(crate) fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::Read { source, .. } => write!(f, "{path}: cannot be read: {source}"),
            Self::NotAFile { found: Found::Directory, .. } => {
                write!(f, "{path}: is a directory, not a file")
            }
            Self::NotAFile { found: Found::Pipe, .. } => {
                write!(f, "{path}: is not a regular file, but a named pipe")
            }
            Self::NotAFile { found: Found::Other, .. } => write!(f, "{path}: is not a regular file"),
            Self::Replaced { .. } => write!(
                f,
                "{path}: was replaced or deleted outside its bind mount, which keeps showing the old file; restart \
                 the server, and mount the directory instead of the file"
            ),
            Self::TooLarge { .. } => write!(f, "{path}: is larger than 1 MiB, too large for a config file"),
            Self::Invalid { problems, .. } => {
                problems.write(f, |f, position| write!(f, "{path}:{}:{}", position.line, position.column))
            }
        }
    }
}

impl std::error::Error for LoadError {
    // The message already contains the source; a chain would repeat it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
