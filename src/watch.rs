//! Notices edits of the config file, however they are made, and reads it when its writer is done.
//!
//! The kernel's events are only hints. Hints are gathered until the file has been quiet for [`QUIET`], then
//! [`Watcher::changed`] returns. The reader decides whether the contents differ.
//!
//! The file is long because the following rules are one state machine; the types it works on have files of their own.
//!
//! **What is watched.** A watch on the file alone goes blind with the first rename. So the watches are on every
//! directory in which a name on the path to the file is looked up, through all symbolic links: for
//! `/etc/shibudb/shibudb.toml` that is `/`, `/etc` and `/etc/shibudb`, and where a Kubernetes volume is mounted there,
//! also the directory that `..data` points to. So a swapped link and a recreated directory are seen, and whenever a
//! name was moved, the path is walked again. The file itself is also watched, for writers that open it by another name.
//!
//! **What the watches miss:** a mount over the file or its directory, a change on a network file system, and everything
//! if inotify is unavailable. So every [`LOOK`] the path is walked and the file's identity, size and times are
//! compared; that costs a handful of system calls. If inotify is unavailable, one warning is logged and this check goes
//! on alone.
//!
//! **When is a writer done?** A writer that is not known to have finished has not finished.
//!
//! - A change within the last [`QUIET`] is checked once more before it counts.
//! - A writer that has written to the file is done when it closes it: the kernel reports both, and reports the close
//!   even of a writer that dies. The same goes for a writer that has created the file and not written yet. A file that
//!   was truncated by name, truncate(2), is never closed, so the wait is bounded, see [`writing`].
//! - Where the kernel reports nothing (a directory that was just created or is unreadable; no inotify), and where
//!   another process has closed the file (`touch` does), a text counts as complete if its last line ends in a line
//!   break. Without one, the watcher waits for the time given to [`Watcher::new`], and then reads the text all the
//!   same.
//!
//! Until then [`Watcher::read`] reads nothing; it stats the file before and after reading to detect a writer that came
//! in between. A path that is not a regular file has no writer that could finish it, and is reported at once.
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
pub(crate) use follower::{Follower, NotRead};
use resolved_path::ResolvedPath;
use writing::Writing;

/// How long the file must stay unchanged.
const QUIET: Duration = Duration::from_millis(250);

/// The longest time for which edits in quick succession are gathered.
const LONGEST: Duration = Duration::from_secs(10);

/// How often the file is checked without a hint.
const LOOK: Duration = Duration::from_millis(100);

/// How often inotify is retried after it was unavailable.
const RETRY: Duration = Duration::from_secs(30);

/// How long a reader waits for the kernel to report a change that it sees. Normally that takes microseconds.
const TELLING: Duration = Duration::from_millis(200);

/// How many times the kernel reports one event: by the watch on the directory, and by the one on the file.
const TOLD: u32 = 2;

/// How long a reading waits for the file to stay unchanged before it returns to the caller.
const SETTLING: Duration = Duration::from_secs(1);

/// The longest wait for the rest of an incomplete text, however often the file changes meanwhile, as a multiple of the
/// wait after one change.
const CHANGES: u32 = 6;

/// What was read, and whether it looks complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading<T> {
    /// What was read.
    pub value: T,
    /// `false` if its last line does not end.
    pub complete: bool,
}

/// Why nothing was read. [`Watcher::changed`] returns when another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// A writer is in the middle of the file.
    BeingWritten,
    /// It may be complete or not: its last line has no line break.
    Incomplete,
}

/// Watches one path.
#[derive(Debug)]
pub(crate) struct Watcher {
    path: PathBuf,
    /// Where the path leads, as of the last walk.
    resolved: ResolvedPath,
    /// `None` if inotify is unavailable; it is retried at `retry_at`.
    events: Option<FileEvents>,
    retry_at: Instant,
    warned: bool,
    seen: FileStamp,
    /// The first and the last sign since the file was read.
    unread: Option<(Instant, Instant)>,
    /// How long to wait for the rest of an incomplete text.
    max_wait: Duration,
    /// The end of that wait.
    incomplete: Option<Instant>,
    /// A writer that is in the middle of the file.
    writing: Option<Writing>,
    /// When a directory on the path was last removed.
    cut: Option<Instant>,
    /// When we last opened the file, and how many events of that are still due.
    opened: Option<(Instant, u32)>,
}

/// The result of observing the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// The kernel has reported something, whether or not it shows in the file.
    Told,
    /// The file shows something that the kernel has not reported, perhaps not yet.
    Untold,
}

impl Watcher {
    /// A watcher of the file at `path`, which is absolute and need not exist. Whatever happened before counts as a
    /// first change. Waits up to `max_wait` for the rest of an incomplete text. Needs a tokio runtime.
    pub(crate) fn new(path: PathBuf, max_wait: Duration) -> Self {
        let now = Instant::now();
        let seen = stamp(&path);
        // A file that has not changed for long is complete.
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
    pub(crate) async fn changed(&mut self) {
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

    /// Has `read` read the whole file.
    ///
    /// # Errors
    /// [`Unfinished`]; [`Self::changed`] then returns when the writer is done.
    pub(crate) async fn read<T>(&mut self, read: impl Fn(&Path) -> Reading<T>) -> Result<T, Unfinished> {
        let begun = Instant::now();
        let mut untold = false;
        loop {
            match self.observe() {
                Change::Untold => untold = true,
                Change::Told => untold = false,
                Change::None => {}
            }
            let now = Instant::now();
            // The kernel will soon report the change that is visible already, or the close that is still due.
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
                // Gather again, or an endless series of edits would be read without a pause.
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

    /// Waits until the kernel may have reported something; for ever if it reports nothing. Cancel safe.
    async fn told(&self) {
        match &self.events {
            Some(events) => events.ready().await,
            None => std::future::pending().await,
        }
    }

    /// When the file should be read, if at all.
    fn due(&self) -> Option<Instant> {
        let mut due = self.settled()?;
        if let Some(writing) = self.writing {
            due = due.max(writing.until(self.cut));
        }
        Some(self.incomplete.map_or(due, |until| due.max(until)))
    }

    /// When the file will have been unchanged for long enough.
    fn settled(&self) -> Option<Instant> {
        self.unread.map(|(first, last)| (last + QUIET).min(first + LONGEST.max(self.max_wait)))
    }

    fn is_being_written(&self) -> bool {
        self.writing.is_some_and(|writing| Instant::now() < writing.until(self.cut))
    }

    /// Until when to wait for the rest of what was just read; `None` if that wait is over.
    fn rest_is_awaited_until(&self) -> Option<Instant> {
        let (first, last) = self.unread?;
        let until = (last + self.max_wait).min(first + CHANGES * self.max_wait);
        (Instant::now() < until).then_some(until)
    }

    /// Takes in all kernel events, and checks the file too.
    fn observe(&mut self) -> Change {
        let told = self.listen();
        let seen = stamp(&self.path);
        if self.seen != seen {
            let other = self.seen.map(Identity::file) != seen.map(Identity::file);
            let file = seen.ok().map(Identity::file);
            if !told && self.writing.is_some_and(|writing| !writing.is_on(file)) {
                // A writer of the previous file does not concern us any more.
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

    /// Takes in the kernel's events; returns whether there were any.
    fn listen(&mut self) -> bool {
        let mut told = self.events.as_ref().map_or_else(Vec::new, FileEvents::drain);
        let mut moved = false;
        for event in &told {
            match event {
                FileEvent::Opened => match &mut self.opened {
                    Some((at, untold @ 1..)) if at.elapsed() < TELLING => *untold -= 1,
                    _ => self.writing.iter_mut().for_each(Writing::opened),
                },
                FileEvent::Written => self.writing = Writing::written(stamp(&self.path), self.writing),
                FileEvent::Closed => self.writing = self.writing.and_then(Writing::closed),
                FileEvent::Made => {
                    moved = true;
                    // A link to a file is complete; a newly created file is still empty.
                    let made = stamp(&self.path);
                    let empty = made.is_ok_and(|file| file.size == 0);
                    self.writing = if empty { Writing::made(made) } else { None };
                }
                FileEvent::Gone | FileEvent::Cut => {
                    moved = true;
                    if *event == FileEvent::Cut {
                        self.cut = Some(Instant::now());
                    }
                    // The event may concern the previous file and arrive late, when there is another already.
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
        told.retain(|event| *event != FileEvent::Opened);
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

    /// Follows the path to the file, and watches the file if it is another one or has been `moved`.
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
            // The kernel will not report the awaited close any more.
            self.writing = None;
            if !std::mem::replace(&mut self.warned, true) {
                tracing::warn!(path = %self.path.display(), %error,
                    "cannot watch the config file with inotify ({error}); polling {} every {LOOK:?} instead",
                    self.path.display());
            }
        }
        if other {
            self.resolved = resolved;
            // Whatever happened between the walk and the watch has left no hint.
            self.sign();
        }
    }
}
