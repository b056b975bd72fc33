//! From a path to settings. Reads a file only, whole, and never a large one.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Parsed, Problems, parse};

/// The most bytes a config file may have. Anything larger is some other file.
pub const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// Why a config file could not be used. Displayed with its path.
#[derive(Debug)]
pub enum LoadError {
    /// It is missing, or may not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else stands in its place.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// It is larger than [`MAX_FILE_SIZE`], and has not been read.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its text is not a valid configuration. Displayed as `path:line:column: what`, one problem a line.
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: Problems,
    },
}

/// Reads the config file at `path` and takes it apart. `shibudb check` is this, and nothing else.
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
    // Asked before opening: opening a named pipe would wait for a writer.
    check(path, &fs::metadata(path).map_err(unreadable)?)?;
    let file = File::open(path).map_err(unreadable)?;
    check(path, &file.metadata().map_err(unreadable)?)?;
    let mut text = Vec::new();
    // The size is only what it was a moment ago, so the reading is bounded too.
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_SIZE {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Takes apart the text that the file at `path` had.
///
/// # Errors
/// [`LoadError::Invalid`]
pub fn parse_file(path: &Path, text: &[u8]) -> Result<Parsed, LoadError> {
    parse(text).map_err(|problems| LoadError::Invalid { path: path.to_owned(), problems })
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), LoadError> {
    if !metadata.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned(), directory: metadata.is_dir() });
    }
    if metadata.len() > MAX_FILE_SIZE {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(())
}

impl LoadError {
    /// The file it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::NotAFile { path, .. }
            | Self::TooLarge { path }
            | Self::Invalid { path, .. } => path,
        }
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
            Self::NotAFile { directory: true, .. } => write!(f, "{path}: is a directory, not a file"),
            Self::NotAFile { directory: false, .. } => write!(f, "{path}: is not a regular file"),
            Self::TooLarge { .. } => write!(f, "{path}: is larger than 1 MiB, which no config file is"),
            Self::Invalid { problems, .. } => {
                problems.write(f, |f, position| write!(f, "{path}:{}:{}", position.line, position.column))
            }
        }
    }
}

impl std::error::Error for LoadError {
    // What the source says is part of the message already; a chain would say it twice.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}
