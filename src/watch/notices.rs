//! What the kernel tells of the names on a way: inotify(7), without a thread and without a delay.
//!
//! The order of what is told is the order in which it happened, and [`Notices::drain`] leaves
//! nothing untold. The watcher builds on both.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::way::Way;

/// What is asked of every directory on the way. Flags are only ever added to a watch, so that a
/// directory that is met twice is never watched for less.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);

/// What is asked of the file, and of its directory, where a new file is heard of first.
const CONTENT: WatchFlags =
    WatchFlags::MODIFY.union(WatchFlags::CLOSE_WRITE).union(WatchFlags::ATTRIB).union(WatchFlags::MASK_ADD);

/// Room for many events at once; one takes up to 272 bytes.
const BUFFER: usize = 8 * 1024;

/// Something happened to a name on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Something was written to it, or it was cut short.
    Written,
    /// A writer has closed it.
    Closed,
    /// There is such a name now; a writer may have it open.
    Made,
    /// It is gone, or means something else now.
    Moved,
    /// Its owner, its mode or its times.
    Touched,
}

/// The watches on one way.
#[derive(Debug)]
pub(super) struct Notices {
    inotify: AsyncFd<OwnedFd>,
    /// The names that matter in each watched directory; none for the file itself.
    watched: HashMap<i32, HashSet<OsString>>,
}

impl Notices {
    /// Watches a way. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the system says if it has no more watches to give.
    pub(super) fn of(way: &Way) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd stays open and its own; the successor is for lesser types, and unsafe"
        )]
        let inotify = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        let mut notices = Self { inotify, watched: HashMap::new() };
        notices.follow(way)?;
        Ok(notices)
    }

    /// Watches another way, or the same one again: a watch whose directory or file was replaced is
    /// moved to what is there now, and nothing is missed of what is still there.
    pub(super) fn follow(&mut self, way: &Way) -> io::Result<()> {
        let mut watched: HashMap<i32, HashSet<OsString>> = HashMap::new();
        for (directory, name) in way.steps() {
            if let Some(watch) = self.watch(directory, NAMES)? {
                watched.entry(watch).or_default().insert(name.to_owned());
            }
        }
        if let Some((directory, _)) = way.steps().last() {
            self.watch(directory, CONTENT)?;
        }
        // The file itself too, for what is written to it by another name or beneath a mount.
        if let Some(watch) = self.watch(way.end(), CONTENT)? {
            watched.entry(watch).or_default();
        }
        for watch in self.watched.keys().filter(|watch| !watched.contains_key(watch)) {
            match inotify::remove_watch(&self.inotify, *watch) {
                // It went with what it watched.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.watched = watched;
        Ok(())
    }

    /// Waits until there may be something to drain. Cancel safe.
    pub(super) async fn ready(&self) {
        match self.inotify.readable().await {
            // Cleared before the draining, so that what comes in between is not slept through.
            Ok(mut ready) => ready.clear_ready(),
            // The runtime is ending.
            Err(_) => std::future::pending().await,
        }
    }

    /// All that has happened so far, in order.
    pub(super) fn drain(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    notices.push(Notice::Moved);
                }
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let concerns_us = self
                        .watched
                        .get(&event.wd())
                        .is_some_and(|names| name.is_none_or(|name| names.contains(name)));
                    if concerns_us {
                        notices.push(meaning(event.events()));
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return notices,
                Err(error) => {
                    tracing::debug!(%error, "inotify cannot be read");
                    return notices;
                }
            }
        }
    }

    /// Watches one path; `None` if there is nothing that could be watched by us.
    fn watch(&self, path: &Path, what: WatchFlags) -> io::Result<Option<i32>> {
        match inotify::add_watch(&self.inotify, path, what) {
            Ok(watch) => Ok(Some(watch)),
            Err(error @ (Errno::NOSPC | Errno::NOMEM)) => Err(error.into()),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "cannot watch {}", path.display());
                Ok(None)
            }
        }
    }
}

fn meaning(event: ReadFlags) -> Notice {
    if event.contains(ReadFlags::MODIFY) {
        Notice::Written
    } else if event.contains(ReadFlags::CLOSE_WRITE) {
        Notice::Closed
    } else if event.contains(ReadFlags::CREATE) {
        Notice::Made
    } else if event.contains(ReadFlags::ATTRIB) {
        Notice::Touched
    } else {
        Notice::Moved
    }
}
