//! The log file of a server that `shibudb start` began: kept short by the server itself, since nobody else does.
//!
//! Standard error is this file, so that a panic and whatever a library has to say end there as well. When it is full
//! it gets another name, those before it move on, the oldest goes, and standard error is the new file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::private;

/// How large the file may become, in bytes, and how many full ones are kept beside it.
const LARGEST: u64 = 10 << 20;
const KEPT: usize = 4;

/// After a failure it is tried again when so much more has been written.
const AGAIN_AFTER: u64 = LARGEST / 10;

/// The file that standard error is.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    size: u64,
    /// The size at which it is to be set aside.
    full_at: u64,
}

impl LogFile {
    /// Of the file that whoever began this process has opened for it as standard error.
    pub(super) fn of_stderr(path: &Path) -> Self {
        let size = rustix::fs::fstat(io::stderr()).map_or(0, |found| found.st_size.unsigned_abs());
        Self { path: path.to_owned(), size, full_at: LARGEST }
    }

    fn make_room_for(&mut self, bytes: usize) {
        if self.size == 0 || self.size + bytes as u64 <= self.full_at {
            return;
        }
        match self.rotate() {
            Ok(()) => (self.size, self.full_at) = (0, LARGEST),
            Err(error) => {
                self.full_at = self.size + AGAIN_AFTER;
                // Not as a log line, which would come back here.
                let words = format!("cannot begin a new log file {}: {error}\n", self.path.display());
                io::stderr().write_all(words.as_bytes()).ok();
            }
        }
    }

    fn rotate(&self) -> io::Result<()> {
        // Somebody else may have moved it out of the way: then there is nothing left to do so with.
        let current = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        if private::is_at(&current, &self.path)? {
            for number in (0..KEPT).rev() {
                match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let new = private::open(&self.path, private::options().append(true).create(true))?;
        Ok(rustix::stdio::dup2_stderr(new)?)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 { self.path.clone() } else { self.path.with_added_extension(number.to_string()) }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room_for(bytes.len());
        let written = io::stderr().write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
