//! The override that outlives the process: `<data-dir>/limit-override.json`.
//!
//! Written whole to a temporary file, synced, renamed: at any moment, and after any crash, there is
//! the old override, the new one, or none. The directory is synced too, so that a change that was
//! answered is there after a power loss.
//!
//! Renaming exchanges the two, so that the temporary file is there for the next change as well: to
//! write over a file and sync it takes a third of the time that making one does, which the file system
//! must enter into its own journal; and it needs no space on a full disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::Override;
use crate::private;

const NAME: &str = "limit-override.json";
const SPARE: &str = ".limit-override.spare";

/// What is stored fills a multiple of this, in bytes: a file that keeps its size is synced faster.
const FILLED: usize = 1024;

#[derive(Debug)]
pub(super) struct OverrideFile {
    directory: PathBuf,
    path: PathBuf,
    /// What is written next. Holds an earlier override, if it is there.
    spare: PathBuf,
}

impl OverrideFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join(NAME), spare: directory.join(SPARE) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier run stored; `None` if nothing. A file that is not ours to understand is
    /// reported as [`io::ErrorKind::InvalidData`].
    pub(super) fn read(&self) -> io::Result<Option<Override>> {
        match private::read(&self.path) {
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
                self.write_spare(override_)?;
                self.exchange()?;
            }
            // Kept as the spare.
            None => match fs::rename(&self.path, &self.spare) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
        }
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        if synced.is_err() {
            // It may be the spare that has the override's name on disk: it must not be written to.
            fs::remove_file(&self.spare).ok();
        }
        synced
    }

    fn write_spare(&self, override_: &Override) -> io::Result<()> {
        let mut text = serde_json::to_vec(override_)?;
        text.resize((text.len() + 1).next_multiple_of(FILLED) - 1, b' ');
        text.push(b'\n');
        let mut spare =
            private::open(&self.spare, private::options().write(true).create(true).truncate(false))?;
        spare.write_all(&text)?;
        if spare.metadata()?.len() != text.len() as u64 {
            spare.set_len(text.len() as u64)?;
        }
        spare.sync_data()
    }

    /// Gives the spare the override's name, and its own to what had it.
    fn exchange(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.spare, CWD, &self.path, RenameFlags::EXCHANGE) {
            // There is no override yet, or the file system cannot do it.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => fs::rename(&self.spare, &self.path),
            exchanged => Ok(exchanged?),
        }
    }

    /// Removes temporary files that an earlier process left behind.
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Door;
    use super::*;

    fn to(limit: u32, actor: &str) -> Override {
        Override { limit, base: 1000, door: Door::Http, actor: actor.to_owned(), time: Timestamp::UNIX_EPOCH }
    }

    /// Longer ones and shorter ones, with gaps between: the last one counts, whole.
    #[test]
    fn what_was_written_last_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = OverrideFile::new(directory.path());
        assert_eq!(file.read().unwrap(), None);
        for round in 0..3 {
            for length in [1, 3 * FILLED, 10, FILLED, 20] {
                let stored = to(2000 + round, &"a".repeat(length));
                file.write(Some(&stored)).unwrap();
                assert_eq!(file.read().unwrap(), Some(stored));
            }
            file.write(None).unwrap();
            assert_eq!(file.read().unwrap(), None);
        }
    }

    #[test]
    fn what_was_left_half_written_is_not_read_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let file = OverrideFile::new(directory.path());
        let stored = to(2000, "somebody");
        file.write(Some(&stored)).unwrap();
        fs::write(&file.spare, "{\"limit\": 3").unwrap();
        assert_eq!(file.read().unwrap(), Some(stored.clone()));
        file.clean_up().unwrap();
        assert!(!file.spare.exists());
        assert_eq!(file.read().unwrap(), Some(stored));
    }
}
