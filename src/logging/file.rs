//! The log file of a server that `shibudb start` began: the server itself keeps it short, since nothing else does.
//!
//! Standard error is this file, so that panics and messages of libraries end up there as well. When it is full,
//! it is renamed, older files move on, the oldest is deleted, and standard error becomes a new file. If another
//! program such as logrotate(8) moves the file away, the server creates a new one for the next line.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::private;

/// How large the file may become, in bytes, and how many full ones are kept beside it.
const LARGEST: u64 = 10 << 20;
const KEPT: usize = 4;

/// After a failure, it retries when this much more has been written.
const AGAIN_AFTER: u64 = LARGEST / 10;

/// The file that standard error is.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// The size at which it is set aside.
    full_at: u64,
    /// Whether the failure to create a new file was reported.
    complained: bool,
}

impl LogFile {
    /// The file that the parent process has opened as standard error.
    pub(super) fn of_stderr(path: &Path) -> Self {
        Self { path: path.to_owned(), full_at: LARGEST, complained: false }
    }

    /// Ensures that standard error is the file of that name, and that the file is not full. Another program may have
    /// moved, removed or truncated the file since the last line.
    fn prepare(&mut self, bytes: usize) {
        let result = self.size().and_then(|size| match size {
            None => self.begin(),
            Some(size) if size > 0 && size + bytes as u64 > self.full_at => {
                let rotated = self.rotate();
                self.full_at = if rotated.is_ok() { LARGEST } else { size + AGAIN_AFTER };
                // Each failed attempt is reported.
                self.complained = false;
                rotated
            }
            Some(_) => Ok(()),
        });
        match result {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                // Not as a log line, which would end up here again.
                let words = format!("cannot create a new log file {}: {error}\n", self.path.display());
                io::stderr().write_all(words.as_bytes()).ok();
            }
            Err(_) => {}
        }
    }

    /// The size of the file; `None` if standard error is no longer the file of that name.
    fn size(&self) -> io::Result<Option<u64>> {
        let ours = rustix::fs::fstat(io::stderr())?;
        let found = match fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_ours = (found.dev(), found.ino()) == (ours.st_dev, ours.st_ino);
        Ok(is_ours.then_some(found.len()))
    }

    fn rotate(&self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.begin()
    }

    /// Redirects standard error to the file of that name.
    fn begin(&self) -> io::Result<()> {
        let new = private::open(&self.path, private::options().append(true).create(true))?;
        Ok(rustix::stdio::dup2_stderr(new)?)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 { self.path.clone() } else { self.path.with_added_extension(number.to_string()) }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.prepare(bytes.len());
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
