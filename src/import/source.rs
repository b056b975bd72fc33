//! The contents of a data directory: users, spaces, the files of their records, and what is left out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::json::{self, Document};
use super::metadata::{self, FoundSpace};
use super::users::{self, FoundUser};
use crate::store::{SpaceError, check_name};

/// The file with the records of a space, in the space's directory.
const DATA: &str = "data.db";

/// The importable contents of a ShibuDB data directory.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    users: Vec<FoundUser>,
    spaces: Vec<FoundSpace>,
    left_out: Vec<LeftOut>,
}

/// Something that is not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What: `space "embeddings"`, `user "bob"`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Why a directory cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It contains nothing of a ShibuDB server.
    #[error("{} is not a ShibuDB data directory: it has neither metadata.json nor users.json", .0.display())]
    NotShibuDb(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file has invalid content.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Source {
    /// Reads the lists of users and spaces.
    ///
    /// # Errors
    /// [`SourceError`] if this is not a ShibuDB data directory, or damaged.
    pub fn open(dir: &Path) -> Result<Self, SourceError> {
        let users = json::read(&dir.join("users.json"))?;
        let metadata = json::read(&dir.join("metadata.json"))?;
        if users.is_none() && metadata.is_none() {
            return Err(SourceError::NotShibuDb(dir.into()));
        }
        Self::of(dir, users, metadata)?.with_strangers()
    }

    /// As [`Source::open`], from the texts of `users.json` and `metadata.json` alone. It names users and
    /// spaces, and has no records.
    ///
    /// # Errors
    /// [`SourceError::Content`].
    pub fn parse(users: &[u8], metadata: &[u8]) -> Result<Self, SourceError> {
        let users = Document::parse(Path::new("users.json"), users)?;
        let metadata = Document::parse(Path::new("metadata.json"), metadata)?;
        Self::of(Path::new(""), Some(users), Some(metadata))
    }

    fn of(dir: &Path, users: Option<Document>, metadata: Option<Document>) -> Result<Self, SourceError> {
        let mut left_out = Vec::new();
        let users = users.map_or(Ok(Vec::new()), |file| users::find(&file, &mut left_out))?;
        let mut spaces = metadata.map_or(Ok(Vec::new()), |file| metadata::find(&file, &mut left_out))?;
        spaces.retain(|space| match check_name(&space.name) {
            Ok(()) => true,
            Err(error) => {
                left_out.push(LeftOut::space(&space.name, SpaceError::from(error)));
                false
            }
        });
        Ok(Self { dir: dir.into(), users, spaces, left_out })
    }

    /// The total size of the records, in bytes.
    ///
    /// # Errors
    /// [`SourceError::File`] if a file exists and cannot be inspected.
    pub fn bytes(&self) -> Result<u64, SourceError> {
        self.spaces.iter().map(|space| Ok(self.data(space)?.map_or(0, |(_, length)| length))).sum()
    }

    /// Whether one of its users may do everything.
    pub(crate) fn has_admin(&self) -> bool {
        self.users.iter().any(|user| user.account.is_admin())
    }

    /// Reports data of spaces that `metadata.json` does not name, so that it is not lost silently.
    fn with_strangers(mut self) -> Result<Self, SourceError> {
        let failed = SourceError::file(&self.dir);
        let entries: Vec<_> = fs::read_dir(&self.dir).and_then(Iterator::collect).map_err(failed)?;
        let named: BTreeSet<_> = self.spaces.iter().map(|space| space.name.clone()).collect();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = named.contains(&name) || self.left_out.iter().any(|left| left.is_space(&name));
            if !known && entry.path().join(DATA).is_file() {
                self.left_out.push(LeftOut::space(&name, "it has data, but metadata.json does not list it"));
            }
        }
        Ok(self)
    }

    pub(super) fn users(&self) -> &[FoundUser] {
        &self.users
    }

    pub(super) fn spaces(&self) -> &[FoundSpace] {
        &self.spaces
    }

    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Where the records of a space are.
    pub(super) fn data_path(&self, space: &FoundSpace) -> PathBuf {
        // The name has been checked: it cannot lead elsewhere.
        self.dir.join(&space.name).join(DATA)
    }

    /// The file of a space and its length, if it exists: a space without one is empty.
    pub(super) fn data(&self, space: &FoundSpace) -> Result<Option<(File, u64)>, SourceError> {
        let path = self.data_path(space);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((length, file)) => Ok(Some((file, length))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SourceError::file(&path)(error)),
        }
    }
}

impl LeftOut {
    pub(super) fn space(name: &str, why: impl ToString) -> Self {
        Self { what: format!("space {name:?}"), why: why.to_string() }
    }

    pub(super) fn user(name: &str, why: impl ToString) -> Self {
        Self { what: format!("user {name:?}"), why: why.to_string() }
    }

    fn is_space(&self, name: &str) -> bool {
        self.what == format!("space {name:?}")
    }
}

impl SourceError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
