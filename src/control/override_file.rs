//! The override that outlives the process: `<data-dir>/limit-override.json`.
//!
//! Written whole to a temporary file, synced, renamed: at any moment, and after any crash, there is
//! the old override, the new one, or none. The directory is synced too, so that a change that was
//! answered is there after a power loss.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Override;

#[derive(Debug)]
pub(super) struct OverrideFile {
    directory: PathBuf,
    path: PathBuf,
}

impl OverrideFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join("limit-override.json") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier run stored; `None` if nothing. A file that is not ours to understand is
    /// reported as [`io::ErrorKind::InvalidData`].
    pub(super) fn read(&self) -> io::Result<Option<Override>> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores an override, or forgets the stored one.
    pub(super) fn write(&self, override_: Option<&Override>) -> io::Result<()> {
        match override_ {
            Some(override_) => {
                let mut text = serde_json::to_vec(override_)?;
                text.push(b'\n');
                let mut file =
                    tempfile::Builder::new().prefix(".limit-override").tempfile_in(&self.directory)?;
                file.write_all(&text)?;
                file.as_file().sync_data()?;
                file.persist(&self.path)?;
            }
            None => match fs::remove_file(&self.path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
        }
        File::open(&self.directory)?.sync_all()
    }

    /// Removes temporary files that a killed process left behind.
    pub(super) fn clean_up(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".limit-override") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
