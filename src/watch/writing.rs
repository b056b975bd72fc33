//! A writer in the middle of the file, as far as the kernel tells of one.

use std::time::Duration;

use tokio::time::Instant;

use super::file_stamp::{FileStamp, Identity};

/// How long a writer may be silent before its work so far is read all the same.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The same when somebody closed the file who may be another than the writer: the kernel does not tell who.
const UNCLEAR: Duration = Duration::from_secs(5);

/// The same when a directory was taken away and made again not longer than [`DOUBTFUL`] ago. The watch on
/// the old one is taken back by its path, and with it the one on the new: until that is watched again, a
/// writer may close without a word.
const DOUBT: Duration = Duration::from_millis(500);
const DOUBTFUL: Duration = Duration::from_secs(2);

/// A writer at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    /// On which file; it may be another one that stands there by now.
    file: Option<(u64, u64)>,
    /// When the last of it was told.
    last: Instant,
    /// Whether it has written something, and not only made the file, which is told before the file is opened.
    written: bool,
    /// How many others have opened the file meanwhile and not closed it, as far as that is told.
    others: u32,
    /// Whether the last who closed the file may have been the writer or one of the others.
    unclear: bool,
}

impl Writing {
    /// On the file that this look shows, by a writer who may have been at it `before`. Of anything but a regular
    /// file no end would ever be told.
    pub(super) fn written(seen: FileStamp, before: Option<Self>) -> Option<Self> {
        let others = before.filter(|before| before.is_on(seen.ok().map(Identity::file)));
        let others = others.map_or(0, |before| before.others);
        Self::made(seen).map(|writing| Self { written: true, others, ..writing })
    }

    /// By a writer who has made the file that this look shows, and is about to open it.
    pub(super) fn made(seen: FileStamp) -> Option<Self> {
        let file = seen.ok().map(Identity::file);
        let regular = seen.is_ok_and(|seen| seen.regular);
        (regular || file.is_none()).then(|| Self {
            file,
            last: Instant::now(),
            written: false,
            others: 0,
            unclear: false,
        })
    }

    pub(super) fn is_on(self, file: Option<(u64, u64)>) -> bool {
        self.file == file
    }

    /// Somebody, not we, has opened the file: not the writer, who has it open.
    pub(super) fn opened(&mut self) {
        self.others += u32::from(self.written);
    }

    /// Somebody who could write has closed the file, be it the writer or not: `touch` opens and closes it, too. What
    /// is left of the writer.
    pub(super) fn closed(self) -> Option<Self> {
        let others = self.others.checked_sub(1)?;
        Some(Self { others, unclear: true, ..self })
    }

    /// Until when the writer is waited for. `cut` is when a directory on the way was last taken away.
    pub(super) fn until(self, cut: Option<Instant>) -> Instant {
        let in_doubt = cut.is_some_and(|cut| self.last < cut + DOUBTFUL);
        self.last
            + match (in_doubt, self.unclear) {
                (true, _) => DOUBT,
                (false, true) => UNCLEAR,
                (false, false) => MAX_WAIT,
            }
    }
}
