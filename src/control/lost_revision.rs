//! The last revision that the history file has no record of: `<data-dir>/limit-revision`.
//!
//! A full disk does not stop a change of the limit, but the record of it, and a server that is then killed
//! would give its revision to another change: a client with an old `If-Match` could not tell them apart. So
//! this file has room for a number from the start, and is only ever written in place, which needs no
//! space on the disk.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::private;

/// Digits of the largest number.
const WIDTH: usize = 20;

#[derive(Debug)]
pub(super) struct LostRevision {
    path: PathBuf,
}

impl LostRevision {
    /// Makes the file, if need be. Without it, a full disk may have revisions given twice.
    pub(super) fn open(path: PathBuf) -> Self {
        let this = Self { path };
        if !this.path.exists()
            && let Err(error) = this.note(0)
        {
            tracing::warn!(path = %this.path.display(), %error, "cannot make room to note a revision");
        }
        this
    }

    /// The number in it; 0 if there is none.
    pub(super) fn read(&self) -> u64 {
        match private::read(&self.path) {
            Ok(text) => String::from_utf8_lossy(&text).trim().parse().unwrap_or_else(|_| {
                tracing::warn!(path = %self.path.display(), "this file should hold a revision, and does not");
                0
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %self.path.display(), %error, "cannot read the last revision");
                }
                0
            }
        }
    }

    /// Notes a revision that the history has no record of.
    pub(super) fn note(&self, revision: u64) -> io::Result<()> {
        let mut file =
            private::open(&self.path, private::options().write(true).create(true).truncate(false))?;
        file.write_all(format!("{revision:0WIDTH$}\n").as_bytes())?;
        file.sync_data()
    }
}
