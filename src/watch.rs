//! Notices edits of the config file, however they are made, and reads it when its writer is done.
//!
//! What the kernel tells is only a hint. Hints are gathered until the file has been quiet for
//! [`QUIET`], then [`Watcher::changed`] returns. Whether the contents differ is the reader's to say.
//!
//! The file is long because the following rules are one state machine; what it works on has files of its own.
//!
//! **What is watched.** A watch on the file alone goes blind with the first rename. So the watches
//! are on every directory in which a name on the way to the file is looked up, through all symbolic
//! links: for `/etc/shibudb/shibudb.toml` that is `/`, `/etc` and `/etc/shibudb`, and where a
//! Kubernetes volume is mounted there, the directory that `..data` points to as well. So a link that
//! is swapped and a directory that is made again are seen, and whenever a name was moved, the way is
//! walked anew. The file itself is watched besides, for writers who know it by another name.
//!
//! **What is not seen that way** is a mount over the file or its directory, a change on a network
//! file system, and everything, where inotify cannot be had. So every [`LOOK`] the way is walked and
//! the file's identity, size and times are compared; that costs a handful of system calls. If
//! inotify cannot be had there is one warning, and this goes on alone.
//!
//! **When is a writer done?** A writer that is not known to have finished has not finished.
//!
//! - What has changed within the last [`QUIET`] is looked at once more before it counts.
//! - A writer that has written to the file is not done until it closes it: the kernel tells both, and tells the close
//!   even of a writer that dies. The same goes for a writer that has made the file and not written yet. A file that
//!   was cut short by its name, truncate(2), is never closed, so the wait is bounded, see [`writing`].
//! - Where the kernel tells nothing (a directory that was just made, or may not be read; no inotify), and where
//!   somebody else has closed the file (`touch` does), a text is taken for complete if its last line is: one without
//!   a line break at its end is waited for, for as long as [`Watcher::new`] was told, and then read all the same.
//!
//! Until then [`Watcher::read`] reads nothing, and a look at the file before and after the reading tells whether a
//! writer came in between. What is not a regular file has no writer who could finish it, and is reported at once.
//!
//! All calls here may wait for the file system. A [`Follower`] makes them on a thread of its own.

mod file_events;
mod file_stamp;
mod follower;
mod resolved_path;
mod writing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use file_events::{FileEvent, FileEvents};
use file_stamp::{FileStamp, Identity, stamp};
pub use follower::{Follower, NotRead};
use resolved_path::ResolvedPath;
use writing::Writing;

/// How long the file must have been left alone.
const QUIET: Duration = Duration::from_millis(250);

/// How long edits in quick succession are gathered at most.
const LONGEST: Duration = Duration::from_secs(10);

/// How often the file is looked at without a hint.
const LOOK: Duration = Duration::from_millis(100);

/// How often inotify is tried again after it could not be had.
const RETRY: Duration = Duration::from_secs(30);

/// How long a reader waits for the kernel to tell of what it sees. Normally that is a matter of
/// microseconds.
const TELLING: Duration = Duration::from_millis(200);

/// How often it tells of one event: by the watch on the directory, and by that on the file.
const TOLD: u32 = 2;

/// How long a reading waits for a file to be left alone, before the wait is the asker's again.
const SETTLING: Duration = Duration::from_secs(1);

/// How long the rest of an incomplete text is waited for at most, however often the file changes meanwhile: so many
/// times as long as after one change.
const CHANGES: u32 = 6;

/// What was read, and whether it is complete by its looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// `false` if its last line does not end.
    pub complete: bool,
}

/// Why nothing was read. [`Watcher::changed`] tells when it is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// A writer is in the middle of it.
    BeingWritten,
    /// It may be complete or not: its last line does not end.
    Incomplete,
}

/// Watches one path.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    /// Where the path leads, as of the last walk.
    resolved: ResolvedPath,
    /// `None` if inotify cannot be had; then it is tried again at `retry_at`.
    events: Option<FileEvents>,
    retry_at: Instant,
    warned: bool,
    seen: FileStamp,
    /// The first and the last sign since the file was read.
    unread: Option<(Instant, Instant)>,
    /// How long the rest of an incomplete text is waited for.
    max_wait: Duration,
    /// Until when that is.
    incomplete: Option<Instant>,
    /// A writer who is in the middle of the file.
    writing: Option<Writing>,
    /// When a directory on the way was last taken away.
    cut: Option<Instant>,
    /// When the file was last opened by us, and how often that is still to be told.
    opened: Option<(Instant, u32)>,
}

/// What came of observing the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// Something the kernel has told of, whether or not it shows in the file.
    Told,
    /// Something shows in the file that the kernel has not told of: perhaps not yet.
    Untold,
}

impl Watcher {
    /// A watcher of the file at `path`, which is absolute and need not exist. Whatever happened
    /// before is a change to begin with. The rest of an incomplete text is waited for as long as `max_wait`. Needs a
    /// tokio runtime.
    pub fn new(path: PathBuf, max_wait: Duration) -> Self {
        let now = Instant::now();
        let seen = stamp(&path);
        // What has been as it is for long is complete as it is.
        let age = seen.map(Identity::age).unwrap_or_default().min(max_wait);
        let since = now.checked_sub(age).unwrap_or(now);
        let mut watcher = Self {
            resolved: ResolvedPath::default(),
            events: None,
            retry_at: now,
            warned: false,
            seen,
            path,
            unread: None,
            max_wait,
            incomplete: None,
            writing: None,
            cut: None,
            opened: None,
        };
        watcher.walk(true);
        watcher.unread = Some((since, since));
        watcher
    }

    /// Waits until the file may have changed and its writer is done. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            let now = Instant::now();
            let due = self.due();
            if due.is_some_and(|due| due <= now) {
                return;
            }
            let look_at = now + LOOK;
            tokio::select! {
                () = self.told() => { self.listen(); }
                () = sleep_until(due.map_or(look_at, |due| due.min(look_at))) => { self.observe(); }
            }
        }
    }

    /// Has the file read by `read`, whole.
    ///
    /// # Errors
    /// [`Unfinished`], and then [`Self::changed`] tells when it is done.
    pub async fn read<T>(&mut self, read: impl Fn(&Path) -> Reading<T>) -> Result<T, Unfinished> {
        let begun = Instant::now();
        let mut untold = false;
        loop {
            match self.observe() {
                Change::Untold => untold = true,
                Change::Told => untold = false,
                Change::None => {}
            }
            let now = Instant::now();
            // What has just changed the file, or has not yet closed it, is about to be told of.
            if now < begun + TELLING && (untold || self.is_being_written()) {
                timeout_at(begun + TELLING, self.told()).await.ok();
                continue;
            }
            if self.is_being_written() {
                return Err(Unfinished::BeingWritten);
            }
            if let Some(settled) = self.settled().filter(|&settled| now < settled) {
                if settled > begun + SETTLING {
                    return Err(Unfinished::BeingWritten);
                }
                timeout_at(settled, self.told()).await.ok();
                continue;
            }
            self.opened = Some((now, TOLD));
            let Reading { value, complete } = read(&self.path);
            match self.observe() {
                Change::None => {}
                change if begun.elapsed() < SETTLING => {
                    untold = change == Change::Untold;
                    continue;
                }
                // Gather anew, or an endless row of edits would be read at without a pause.
                _ => {
                    self.unread = self.unread.map(|(_, last)| (last, last));
                    return Err(Unfinished::BeingWritten);
                }
            }
            self.incomplete = if complete { None } else { self.rest_is_awaited_until() };
            if self.incomplete.is_some() {
                return Err(Unfinished::Incomplete);
            }
            self.unread = None;
            return Ok(value);
        }
    }

    /// Waits until the kernel may have told something; for ever if it tells nothing. Cancel safe.
    async fn told(&self) {
        match &self.events {
            Some(events) => events.ready().await,
            None => std::future::pending().await,
        }
    }

    /// When the file should be read, if it should be.
    fn due(&self) -> Option<Instant> {
        let mut due = self.settled()?;
        if let Some(writing) = self.writing {
            due = due.max(writing.until(self.cut));
        }
        Some(self.incomplete.map_or(due, |until| due.max(until)))
    }

    /// When the file will have been left alone for long enough.
    fn settled(&self) -> Option<Instant> {
        self.unread.map(|(first, last)| (last + QUIET).min(first + LONGEST.max(self.max_wait)))
    }

    fn is_being_written(&self) -> bool {
        self.writing.is_some_and(|writing| Instant::now() < writing.until(self.cut))
    }

    /// Until when the rest of what was just read is waited for; `None` if that is over.
    fn rest_is_awaited_until(&self) -> Option<Instant> {
        let (first, last) = self.unread?;
        let until = (last + self.max_wait).min(first + CHANGES * self.max_wait);
        (Instant::now() < until).then_some(until)
    }

    /// Takes in all that the kernel has told, and looks at the file too.
    fn observe(&mut self) -> Change {
        let told = self.listen();
        let seen = stamp(&self.path);
        if self.seen != seen {
            let other = self.seen.map(Identity::file) != seen.map(Identity::file);
            let file = seen.ok().map(Identity::file);
            if !told && self.writing.is_some_and(|writing| !writing.is_on(file)) {
                // Whoever writes to the file that was here does not concern us any more.
                self.writing = None;
            }
            self.seen = seen;
            self.sign();
            self.walk(other);
            if !told {
                return Change::Untold;
            }
        } else {
            self.walk(false);
        }
        if told { Change::Told } else { Change::None }
    }

    /// Takes in what the kernel has told; whether there was anything.
    fn listen(&mut self) -> bool {
        let mut told = self.events.as_ref().map_or_else(Vec::new, FileEvents::drain);
        let mut moved = false;
        for notice in &told {
            match notice {
                FileEvent::Opened => match &mut self.opened {
                    Some((at, untold @ 1..)) if at.elapsed() < TELLING => *untold -= 1,
                    _ => self.writing.iter_mut().for_each(Writing::opened),
                },
                FileEvent::Written => self.writing = Writing::written(stamp(&self.path), self.writing),
                FileEvent::Closed => self.writing = self.writing.and_then(Writing::closed),
                FileEvent::Made => {
                    moved = true;
                    // A link to a file is complete; a file that was made has nothing in it yet.
                    let made = stamp(&self.path);
                    let empty = made.is_ok_and(|file| file.size == 0);
                    self.writing = if empty { Writing::made(made) } else { None };
                }
                FileEvent::Gone | FileEvent::Cut => {
                    moved = true;
                    if *notice == FileEvent::Cut {
                        self.cut = Some(Instant::now());
                    }
                    // It may be told late of the file that was here, when there is another already.
                    if stamp(&self.path).is_err() {
                        self.writing = None;
                    }
                }
                FileEvent::Moved => {
                    moved = true;
                    self.writing = None;
                }
                FileEvent::Touched => {}
            }
        }
        // Being opened changes nothing, and we open it too.
        told.retain(|notice| *notice != FileEvent::Opened);
        if !told.is_empty() {
            self.sign();
        }
        if moved {
            self.walk(true);
        }
        !told.is_empty()
    }

    fn sign(&mut self) {
        let now = Instant::now();
        self.unread = Some((self.unread.map_or(now, |(first, _)| first), now));
        self.incomplete = None;
    }

    /// Follows the path to the file, and watches it if it is another one or has been `moved`.
    fn walk(&mut self, moved: bool) {
        let resolved = ResolvedPath::to(&self.path);
        let other = resolved != self.resolved;
        let watching = match &mut self.events {
            Some(events) if moved || other => events.follow(&resolved),
            Some(_) => Ok(()),
            None if Instant::now() >= self.retry_at => {
                FileEvents::of(&resolved).map(|events| self.events = Some(events))
            }
            None => Ok(()),
        };
        if let Err(error) = watching {
            self.events = None;
            self.retry_at = Instant::now() + RETRY;
            // Nobody will tell of the close that is being waited for.
            self.writing = None;
            if !std::mem::replace(&mut self.warned, true) {
                tracing::warn!(path = %self.path.display(), %error,
                    "cannot watch the config file with inotify ({error}); polling {} every {LOOK:?} instead",
                    self.path.display());
            }
        }
        if other {
            self.resolved = resolved;
            // What happened between the walk and the watch has left no hint.
            self.sign();
        }
    }
}
