//! The override that outlives the process: `<data-dir>/limit-override.json`.
//!
//! Written whole to a temporary file, synced, renamed: at any moment, and after any crash, there is
//! the old override, the new one, or none. The directory is synced too, so that an acknowledged
//! change survives a power loss.
//!
//! Space is reserved from the start, so that a full disk cannot stop an override from being stored: there are always
//! two files of the same size, of which one or none has the override's name and the others are spares. Renaming
//! exchanges the override and a spare. Overwriting a file and syncing it also takes a third of the time of creating
//! one, which the file system must record in its own journal.
//!
//! It holds limits by name, as JSON: the fields of the main one at the top level, as in all versions of the program;
//! those of other names below `limits`; and a `version`. A newer version may have written fields unknown to this
//! one: those of the main limit are kept as long as this limit is stored, those of other names always.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use serde_json::{Map, Value};

use super::Override;
use crate::private;

const NAME: &str = "limit-override.json";

/// The first is written next. The other is there while there is no override.
const SPARES: [&str; 2] = [".limit-override.spare", ".limit-override.spare2"];

/// The new name of a file that cannot be parsed.
const ASIDE: &str = "limit-override.json.damaged";

/// Stored content is padded to a multiple of this, in bytes: a file that keeps its size is synced faster.
const FILLED: usize = 1024;

/// The layout that this version writes. The one before had neither a version nor limits of other names.
const VERSION: u64 = 1;

#[derive(Debug)]
pub(super) struct OverrideFile {
    directory: PathBuf,
    path: PathBuf,
    spares: [PathBuf; 2],
    /// The content beside the override of the main limit.
    rest: Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    version: u64,
    /// Limits of other names, as another version of the program has written them.
    limits: Map<String, Value>,
}

impl OverrideFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            path: directory.join(NAME),
            spares: SPARES.map(|name| directory.join(name)),
            rest: Rest { version: VERSION, limits: Map::new() },
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The override of the main limit that an earlier run stored; `None` if there is none. The rest is kept. A file
    /// that this version cannot parse is reported as [`io::ErrorKind::InvalidData`].
    pub(super) fn read(&mut self) -> io::Result<Option<Override>> {
        match private::read(&self.path) {
            Ok(text) => {
                let (stored, rest) =
                    parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                self.rest = rest;
                Ok(stored)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores an override of the main limit, or deletes the stored one.
    pub(super) fn write(&self, override_: Option<&Override>) -> io::Result<()> {
        let [spare, other] = &self.spares;
        if override_.is_some() || !self.rest.limits.is_empty() {
            write_whole(spare, &content(override_, &self.rest)?)?;
            self.exchange()?;
        } else {
            // Kept as a spare.
            match fs::rename(&self.path, other) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let synced = self.sync_directory();
        if synced.is_err() {
            self.remove_spares();
        }
        synced
    }

    /// Creates the files that an override will be written to, unless they exist. Those left by an earlier process
    /// are used, whatever they contain; its other temporary files are removed.
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

    /// Moves a file that cannot be parsed out of the way, and returns its new path.
    pub(super) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.directory.join(ASIDE);
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// Call this when the directory could not be synced: on disk, one of these may have the override's
    /// name, so they must not be written to.
    fn remove_spares(&self) {
        for spare in &self.spares {
            fs::remove_file(spare).ok();
        }
    }

    /// Gives the spare the override's name, and the file that had it the spare's.
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

/// The override of the main limit, and the rest.
pub(super) fn parse(text: &[u8]) -> serde_json::Result<(Option<Override>, Rest)> {
    let mut main: Map<String, Value> = serde_json::from_slice(text)?;
    let version = main.remove("version").map_or(Ok(0), serde_json::from_value::<u64>)?;
    let limits = main.remove("limits").map_or(Ok(Map::new()), serde_json::from_value)?;
    let stored = if main.is_empty() && !limits.is_empty() {
        None
    } else {
        Some(serde_json::from_value::<Override>(main.into())?)
    };
    if stored.as_ref().is_some_and(|stored| stored.limit == 0) {
        return Err(serde::de::Error::custom("a limit of 0"));
    }
    Ok((stored, Rest { version: version.max(VERSION), limits }))
}

/// What this version would store of a file it has read. For fuzzing, which generates such files.
///
/// # Errors
/// It cannot be parsed, and would be set aside.
#[doc(hidden)]
pub fn stored_again(text: &[u8]) -> serde_json::Result<Value> {
    let (stored, rest) = parse(text)?;
    content(stored.as_ref(), &rest)
}

/// The inverse of [`parse`].
fn content(override_: Option<&Override>, rest: &Rest) -> serde_json::Result<Value> {
    let mut content = override_.map_or(Ok(Map::new().into()), serde_json::to_value)?;
    content["version"] = rest.version.into();
    if !rest.limits.is_empty() {
        content["limits"] = rest.limits.clone().into();
    }
    Ok(content)
}

/// Overwrites or creates a file and syncs its content.
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
        Override::new(limit, 1000, Door::Http, actor.to_owned(), Timestamp::UNIX_EPOCH)
    }

    /// Longer ones and shorter ones, with gaps between: the last one counts, whole.
    #[test]
    fn what_was_written_last_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = OverrideFile::new(directory.path());
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
        let mut file = OverrideFile::new(directory.path());
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

    /// Fields of a newer version survive an older one, and the other way round.
    #[test]
    fn what_another_version_knows_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = OverrideFile::new(directory.path());
        let newer = r#"{"limit":2000,"base":1000,"door":"lease","actor":"pid 7","time":"2026-01-01T00:00:00Z",
            "until":"2026-01-01T02:00:00Z","version":7,"limits":{"user:shop":{"limit":50,"door":"http"}}}"#;
        fs::write(&file.path, newer).unwrap();
        let as_value = || serde_json::from_slice::<Value>(&fs::read(directory.path().join(NAME)).unwrap());
        let stored = file.read().unwrap().unwrap();
        assert_eq!((stored.limit, stored.door.to_string()), (2000, "lease".to_owned()));
        file.write(Some(&stored)).unwrap();
        assert_eq!(as_value().unwrap(), serde_json::from_str::<Value>(newer).unwrap());
        // Unknown fields of the main limit are dropped with it, those of other limits stay.
        file.write(Some(&to(3000, "somebody"))).unwrap();
        let written = as_value().unwrap();
        assert_eq!((&written["until"], &written["version"]), (&Value::Null, &7.into()));
        assert_eq!(written["limits"]["user:shop"]["limit"], 50);
        file.write(None).unwrap();
        assert_eq!(as_value().unwrap()["limits"]["user:shop"]["door"], "http");
        let mut again = OverrideFile::new(directory.path());
        assert_eq!(again.read().unwrap(), None);
        again.write(Some(&to(4000, "somebody"))).unwrap();
        assert_eq!(as_value().unwrap()["limits"]["user:shop"]["limit"], 50);
        // The layout without a version.
        let older = r#"{"limit":5,"base":7,"door":"http","actor":"pid 7","time":"2026-01-01T00:00:00Z"}"#;
        fs::write(&file.path, older).unwrap();
        assert_eq!(file.read().unwrap().unwrap().limit, 5);
        for damaged in ["{}", "[]", "7", r#"{"limit":0}"#, r#"{"limits":[]}"#, &older.replace(":5", ":0")] {
            fs::write(&file.path, damaged).unwrap();
            assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::InvalidData, "{damaged}");
        }
    }

    /// After every write there are two files, and neither has to be created or to grow.
    #[test]
    fn room_is_kept_for_the_next_override() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = OverrideFile::new(directory.path());
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
