//! The override that outlives the process: `<data-dir>/limit-override.json`.
//!
//! Written whole to a temporary file, synced, renamed: at any moment, and after any crash, there is
//! the old override, the new one, or none. The directory is synced too, so that a change that was
//! answered is there after a power loss.
//!
//! Room for that is kept from the start, so that a full disk takes no limit: there are two files of the same
//! size at any time, of which one or none has the override's name and the others are spares. Renaming exchanges
//! the override and a spare. To write over a file and sync it also takes a third of the time that making
//! one does, which the file system must enter into its own journal.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::Override;
use crate::private;

const NAME: &str = "limit-override.json";

/// The first is written next. The other is there while there is no override.
const SPARES: [&str; 2] = [".limit-override.spare", ".limit-override.spare2"];

/// Where a file goes that cannot be understood.
const ASIDE: &str = "limit-override.json.damaged";

/// What is stored fills a multiple of this, in bytes: a file that keeps its size is synced faster.
const FILLED: usize = 1024;

#[derive(Debug)]
pub(super) struct OverrideFile {
    directory: PathBuf,
    path: PathBuf,
    spares: [PathBuf; 2],
}

impl OverrideFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            path: directory.join(NAME),
            spares: SPARES.map(|name| directory.join(name)),
        }
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
        let [spare, other] = &self.spares;
        match override_ {
            Some(override_) => {
                write_whole(spare, override_)?;
                self.exchange()?;
            }
            // Kept as a spare.
            None => match fs::rename(&self.path, other) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
        }
        let synced = self.sync_directory();
        if synced.is_err() {
            self.remove_spares();
        }
        synced
    }

    /// Makes the files that an override will be written to, unless they are there. Those that an earlier process
    /// left behind are used, whatever is in them, and other temporary files of it are removed.
    pub(super) fn keep_room(&self) -> io::Result<()> {
        if let Err(error) = self.sync_directory() {
            self.remove_spares();
            return Err(error);
        }
        for entry in fs::read_dir(&self.directory)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if name.as_encoded_bytes().starts_with(b".limit-override") && !self.spares.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        let wanted = if self.path.try_exists()? { 1 } else { 2 };
        for spare in &self.spares[..wanted] {
            if fs::metadata(spare).map_or(0, |spare| spare.len()) < FILLED as u64 {
                write_whole(spare, &())?;
            }
        }
        self.sync_directory()
    }

    /// Puts a file that cannot be understood out of the way, and returns where it is since.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.directory.join(ASIDE);
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// To be called when the directory could not be synced: on the disk, one of these may have the override's
    /// name, so they must not be written to.
    fn remove_spares(&self) {
        for spare in &self.spares {
            fs::remove_file(spare).ok();
        }
    }

    /// Gives the spare the override's name, and its own to what had it.
    fn exchange(&self) -> io::Result<()> {
        let [spare, other] = &self.spares;
        match renameat_with(CWD, spare, CWD, &self.path, RenameFlags::EXCHANGE) {
            // There is no override yet, or the file system cannot do it.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
                fs::rename(spare, &self.path)?;
                // Without it the next change makes a new one.
                fs::rename(other, spare).ok();
                Ok(())
            }
            exchanged => Ok(exchanged?),
        }
    }
}

/// Writes over a file, or makes it, and syncs what is in it.
fn write_whole(path: &Path, content: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(content)?;
    text.resize((text.len() + 1).next_multiple_of(FILLED) - 1, b' ');
    text.push(b'\n');
    let mut file = private::open(path, private::options().write(true).create(true).truncate(false))?;
    file.write_all(&text)?;
    if file.metadata()?.len() != text.len() as u64 {
        file.set_len(text.len() as u64)?;
    }
    file.sync_data()
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
        let stray = directory.path().join(".limit-override.1234");
        for path in [&file.spares[0], &stray] {
            fs::write(path, "{\"limit\": 3").unwrap();
        }
        assert_eq!(file.read().unwrap(), Some(stored.clone()));
        file.keep_room().unwrap();
        assert!(!stray.exists());
        assert_eq!(file.read().unwrap(), Some(stored));
    }

    /// Whatever was written, there are two files, none of which has to be made or to grow.
    #[test]
    fn room_is_kept_for_the_next_override() {
        let directory = tempfile::tempdir().unwrap();
        let file = OverrideFile::new(directory.path());
        let files = || {
            let mut files: Vec<_> = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap())
                .map(|metadata| (std::os::unix::fs::MetadataExt::ino(&metadata), metadata.len()))
                .collect();
            files.sort_unstable();
            files
        };
        file.keep_room().unwrap();
        let room = files();
        assert_eq!(room.len(), 2);
        for stored in [Some(to(1, "a")), Some(to(2, "b")), None, Some(to(3, "c")), None, None] {
            file.write(stored.as_ref()).unwrap();
            assert_eq!((file.read().unwrap(), files()), (stored, room.clone()));
            file.keep_room().unwrap();
            assert_eq!(files(), room);
        }
    }
}
