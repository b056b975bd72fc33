//! The record of all attempts: `<data-dir>/limit-history.jsonl`, one line of JSON each.
//!
//! Appended lines are synced before they count as written, so that they survive a crash and a power loss.
//! Either can tear only the last line, and a torn line is skipped when the file is read again. At
//! [`ROTATE_AT`] bytes the file becomes `limit-history.jsonl.1`, replacing an older one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{History, Record};
use crate::private;

/// The size at which the file is set aside, in bytes.
const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// The file. Calls wait for the disk.
#[derive(Debug)]
pub(super) struct HistoryFile {
    path: PathBuf,
    /// Open for append; `None` after a failure, until the next attempt opens it again.
    file: Option<File>,
    size: u64,
}

impl HistoryFile {
    /// Reads the records of earlier runs into `history`. Unreadable ones do not prevent the start.
    pub(super) fn open(path: PathBuf, history: &History) -> Self {
        for part in [rotated(&path), path.clone()] {
            match private::open(&part, private::options().read(true)).and_then(|file| history.read(file)) {
                Ok(0) => {}
                Ok(skipped) => tracing::warn!(path = %part.display(), skipped,
                    "history file {}: skipped {skipped} invalid lines", part.display()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::error!(path = %part.display(), %error,
                    "cannot read the history of limit changes in {}: {error}", part.display()),
            }
        }
        Self { path, file: None, size: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends records and syncs them. Returns how many of them, from the first on, are safe.
    pub(super) fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> (usize, io::Result<()>) {
        let mut written = 0;
        let result = records.into_iter().try_for_each(|record| {
            self.write(record)?;
            written += 1;
            Ok(())
        });
        let result = match self.sync(written > 0) {
            Ok(()) => result,
            Err(error) => {
                written = 0;
                Err(error)
            }
        };
        if result.is_err() {
            self.file = None;
        }
        (written, result)
    }

    fn sync(&self, is_needed: bool) -> io::Result<()> {
        self.file.as_ref().filter(|_| is_needed).map_or(Ok(()), File::sync_data)
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.size + line.len() as u64 > ROTATE_AT {
            self.sync(true)?;
            self.file = None;
            fs::rename(&self.path, rotated(&self.path))?;
            self.reopen()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        file.write_all(&line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut file = private::open(&self.path, private::options().append(true).read(true).create(true))?;
        self.size = file.metadata()?.len();
        if self.size == 0 {
            // It may have just been created, and its name must survive a power loss, too.
            let directory = self.path.parent().unwrap_or(Path::new("."));
            File::open(directory)?.sync_all()?;
        } else {
            // A torn last line must not swallow the first record of this run.
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                self.size += 1;
            }
        }
        self.file = Some(file);
        Ok(())
    }
}

fn rotated(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}
