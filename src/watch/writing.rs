//! A writer in the middle of the file, as far as the kernel reports one.

use std::time::Duration;

use tokio::time::Instant;

use super::file_stamp::{FileStamp, Identity};

/// How long a writer may be silent before its work so far is read all the same.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The same when the file was closed by a process that may not be the writer: the kernel does not tell which.
const UNCLEAR: Duration = Duration::from_secs(5);

/// The same when a directory was removed and recreated not longer than [`DOUBTFUL`] ago. The watch on the old one is
/// removed by its path, and with it the one on the new: until that is watched again, a writer may close unnoticed.
const DOUBT: Duration = Duration::from_millis(500);
const DOUBTFUL: Duration = Duration::from_secs(2);

/// A writer at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    /// The file; the path may lead to another one by now.
    file: Option<(u64, u64)>,
    /// When the last event of it arrived.
    last: Instant,
    /// Whether it has written something, and not only created the file, which is reported before the file is opened.
    written: bool,
    /// How many others have opened the file meanwhile and not closed it, as far as the kernel reports that.
    others: u32,
    /// Whether the last close may have been the writer's or one of the others'.
    unclear: bool,
}

impl Writing {
    /// A writer of the file that this stamp shows, which may have been at work `before`. For anything but a regular
    /// file no end would ever be reported.
    pub(super) fn written(seen: FileStamp, before: Option<Self>) -> Option<Self> {
        let others = before.filter(|before| before.is_on(seen.ok().map(Identity::file)));
        let others = others.map_or(0, |before| before.others);
        Self::made(seen).map(|writing| Self { written: true, others, ..writing })
    }

    /// A writer that has created the file that this stamp shows, and is about to open it.
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

    /// Another process than ours has opened the file: not the writer, which has it open.
    pub(super) fn opened(&mut self) {
        self.others += u32::from(self.written);
    }

    /// A process that could write has closed the file, perhaps not the writer: `touch` opens and closes it, too.
    /// Returns what is left of the writer.
    pub(super) fn closed(self) -> Option<Self> {
        let others = self.others.checked_sub(1)?;
        Some(Self { others, unclear: true, ..self })
    }

    /// Until when to wait for the writer. `cut` is when a directory on the path was last removed.
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
