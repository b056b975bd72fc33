//! The record of attempts: the last ones in memory, all of them in a file of JSON lines.
//!
//! The file is `<data-dir>/limit-history.jsonl`. A record is one `write` to a file opened for
//! append, so a crash can tear only the last line, and a torn line is skipped when the file is read
//! again. At [`ROTATE_AT`] bytes it becomes `limit-history.jsonl.1`, replacing an older one. A full
//! disk never stops a change: what could not be written is logged, counted, and still in memory.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

use super::following::WAITING;
use super::lost_revision::LostRevision;
use super::{Door, Outcome, Record};
use crate::private;

/// How many records are kept in memory.
pub(crate) const KEPT: usize = 1000;

/// The size at which the file is set aside, in bytes.
const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// The longest line that can be a record; anything longer is damage, and not worth the memory.
const LONGEST_LINE: u64 = 64 * 1024;

/// The last attempts, readable from anywhere.
#[derive(Debug)]
pub struct History {
    records: Mutex<VecDeque<Record>>,
    lost: AtomicU64,
    applied: [AtomicU64; Door::ALL.len()],
    refused: [AtomicU64; Door::ALL.len()],
    followers: broadcast::Sender<Record>,
}

/// How many attempts there were through one door, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// The door.
    pub door: Door,
    /// Those that changed the limit, or set it to what it was.
    pub applied: u64,
    /// Those that changed nothing.
    pub refused: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            records: Mutex::default(),
            lost: AtomicU64::default(),
            applied: Default::default(),
            refused: Default::default(),
            followers: broadcast::Sender::new(WAITING),
        }
    }
}

impl History {
    /// The last `count` records, newest first.
    pub fn latest(&self, count: usize) -> Vec<Record> {
        self.lock().iter().rev().take(count).cloned().collect()
    }

    /// Remembers the records of a file of earlier runs, whatever became of it: lines that are none are
    /// skipped. Returns how many those were.
    ///
    /// # Errors
    /// What stopped the reading. The records before it are remembered.
    pub fn read(&self, file: impl Read) -> io::Result<u64> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let mut skipped = 0;
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(skipped);
            }
            match serde_json::from_slice(&line) {
                Ok(record) => self.remember(record),
                Err(_) => skipped += 1,
            }
        }
    }

    /// How many records could not be written to the file since the start.
    pub fn unwritten(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many attempts there were since the start, through each door.
    pub fn attempts(&self) -> impl Iterator<Item = Attempts> {
        Door::ALL.into_iter().zip(self.applied.iter().zip(&self.refused)).map(|(door, (applied, refused))| {
            Attempts {
                door,
                applied: applied.load(Ordering::Relaxed),
                refused: refused.load(Ordering::Relaxed),
            }
        })
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<Record> {
        self.followers.subscribe()
    }

    fn count(&self, record: &Record) {
        let counts = match record.outcome {
            Outcome::Applied => &self.applied,
            Outcome::Refused { .. } => &self.refused,
        };
        if let Some(count) = counts.get(record.door as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remember(&self, record: Record) {
        let mut records = self.lock();
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Record>> {
        // Nothing under this lock can panic halfway, so a poisoned queue is still a whole one.
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The file behind a [`History`]; owned by the control thread alone.
#[derive(Debug)]
pub(super) struct HistoryFile {
    path: PathBuf,
    /// Open for append; `None` after a failure, until the next attempt opens it again.
    file: Option<File>,
    size: u64,
    lost_revision: LostRevision,
}

impl HistoryFile {
    /// Reads what earlier runs wrote into `history`. What cannot be read is no reason not to start.
    pub(super) fn open(path: PathBuf, lost_revision: LostRevision, history: &History) -> Self {
        for part in [rotated(&path), path.clone()] {
            match private::open(&part, private::options().read(true)).and_then(|file| history.read(file)) {
                Ok(0) => {}
                Ok(skipped) => tracing::warn!(path = %part.display(), skipped,
                    "the history file has lines that are no records; they were skipped"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::error!(path = %part.display(), %error,
                    "cannot read the history of limit changes"),
            }
        }
        Self { path, file: None, size: 0, lost_revision }
    }

    /// Remembers a record in memory and on disk.
    pub(super) fn append(&mut self, history: &History, record: Record) {
        let (result, revision) = (self.write(&record), record.revision);
        history.count(&record);
        history.remember(record.clone());
        // Remembered first, so that whoever hears of it finds it there. That nobody follows is no error.
        history.followers.send(record).ok();
        if let Err(error) = result {
            self.file = None;
            let lost = history.lost.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(path = %self.path.display(), %error, lost,
                "could not record a limit change in the history file; it is in force all the same");
            if let Err(error) = self.lost_revision.note(revision) {
                tracing::error!(%error, revision, "nor could its revision be noted: it may be given twice");
            }
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.size + line.len() as u64 > ROTATE_AT {
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
        // A torn last line must not swallow the first record of this run.
        if self.size > 0 {
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
