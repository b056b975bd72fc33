//! Notices edits of the config file, however they are made, and reads it when its writer is done.
//!
//! What the kernel tells is only a hint. Hints are gathered until the file has been quiet for
//! [`QUIET`], then [`Watcher::changed`] returns. Whether the contents differ is the reader's to say.
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
//! **When is a writer done?** A writer that has written to the file is not done until it closes it:
//! the kernel tells both, and tells the close even of a writer that dies. The same goes for a writer
//! that has made the file and not written yet. Until the close, [`Watcher::read`] reads nothing; and
//! a look at the file before and after the reading tells whether a writer came in between. A file that is
//! moved into place is complete by nature. Three cases escape: a file that was cut short by its name,
//! truncate(2), is never closed, so after [`PATIENCE`] without another write it is read all the same; in a
//! directory that was just made again, that is [`DOUBT`]; and where inotify tells nothing, a file is taken
//! as complete when it has not changed for [`QUIET`].

mod look;
mod notices;
mod way;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use look::{Identity, Look, look};
use notices::{Notice, Notices};
use way::Way;

/// How long the file must have been left alone.
const QUIET: Duration = Duration::from_millis(150);

/// How long edits in quick succession are gathered at most.
const LONGEST: Duration = Duration::from_secs(1);

/// How long a writer may be silent before its work so far is read all the same.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same when a directory was taken away and made again not longer than [`DOUBTFUL`] ago. The watch on
/// the old one is taken back by its path, and with it the one on the new: until that is watched again, a
/// writer may close without a word.
const DOUBT: Duration = Duration::from_millis(500);
const DOUBTFUL: Duration = Duration::from_secs(2);

/// How often the file is looked at without a hint.
const LOOK: Duration = Duration::from_millis(250);

/// How often inotify is tried again after it could not be had.
const RETRY: Duration = Duration::from_secs(30);

/// How long a reader waits for the kernel to tell of what it sees. Normally that is a matter of
/// microseconds.
const TELLING: Duration = Duration::from_millis(200);

/// How often a reading that a writer came across is begun again at once.
const READINGS: usize = 5;

/// Watches one path.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    /// Where the path leads, as of the last walk.
    way: Way,
    /// `None` if inotify cannot be had; then it is tried again at `retry_at`.
    notices: Option<Notices>,
    retry_at: Instant,
    warned: bool,
    seen: Look,
    /// The first and the last sign since the file was read.
    unread: Option<(Instant, Instant)>,
    /// A writer who is in the middle of the file.
    writing: Option<Writing>,
    /// When a directory on the way was last taken away.
    cut: Option<Instant>,
}

/// A writer at work.
#[derive(Debug, Clone, Copy)]
struct Writing {
    /// On which file; it may be another one that stands there by now.
    file: Option<(u64, u64)>,
    /// When the last of it was told.
    last: Instant,
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
    /// before is a change to begin with. Needs a tokio runtime.
    pub fn new(path: PathBuf) -> Self {
        let now = Instant::now();
        let mut watcher = Self {
            way: Way::default(),
            notices: None,
            retry_at: now,
            warned: false,
            seen: look(&path),
            path,
            unread: None,
            writing: None,
            cut: None,
        };
        watcher.walk(true);
        watcher.sign();
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

    /// Has the file read by `read`, whole: `None` if a writer is in the middle of it, and then
    /// [`Self::changed`] tells when it is done.
    pub async fn read<T>(&mut self, read: impl Fn(&Path) -> T) -> Option<T> {
        let patience = Instant::now() + TELLING;
        let mut readings = 0;
        let mut untold = false;
        while readings < READINGS {
            match self.observe() {
                Change::Untold => untold = true,
                Change::Told => untold = false,
                Change::None => {}
            }
            let now = Instant::now();
            // What has just changed the file, or has not yet closed it, is about to be told of.
            if now < patience && (untold || self.is_being_written()) {
                timeout_at(patience, self.told()).await.ok();
                continue;
            }
            if self.is_being_written() {
                break;
            }
            let result = read(&self.path);
            match self.observe() {
                Change::None => {
                    self.unread = None;
                    return Some(result);
                }
                change => untold = change == Change::Untold,
            }
            readings += 1;
        }
        // Gather anew, or an endless row of edits would be read at without a pause.
        self.unread = self.unread.map(|(_, last)| (last, last));
        None
    }

    /// Waits until the kernel may have told something; for ever if it tells nothing. Cancel safe.
    async fn told(&self) {
        match &self.notices {
            Some(notices) => notices.ready().await,
            None => std::future::pending().await,
        }
    }

    /// When the file should be read, if it should be.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.unread?;
        let quiet = (last + QUIET).min(first + LONGEST);
        Some(self.writing.map_or(quiet, |writing| quiet.max(writing.last + self.patience(writing))))
    }

    fn is_being_written(&self) -> bool {
        self.writing.is_some_and(|writing| Instant::now() < writing.last + self.patience(writing))
    }

    /// How long to wait for the next word of a writer.
    fn patience(&self, writing: Writing) -> Duration {
        let in_doubt = self.cut.is_some_and(|cut| writing.last < cut + DOUBTFUL);
        if in_doubt { DOUBT } else { PATIENCE }
    }

    /// Takes in all that the kernel has told, and looks at the file too.
    fn observe(&mut self) -> Change {
        let told = self.listen();
        let seen = look(&self.path);
        if self.seen != seen {
            let other = self.seen.map(Identity::file) != seen.map(Identity::file);
            let file = seen.ok().map(Identity::file);
            if !told && self.writing.is_some_and(|writing| writing.file != file) {
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
        let told = self.notices.as_ref().map_or_else(Vec::new, Notices::drain);
        let mut moved = false;
        for notice in &told {
            match notice {
                Notice::Written => self.writing = Some(Writing::on(look(&self.path))),
                Notice::Closed => self.writing = None,
                Notice::Made => {
                    moved = true;
                    // A link to a file is complete; a file that was made has nothing in it yet.
                    let made = look(&self.path);
                    let empty = made.is_ok_and(|file| file.size == 0);
                    self.writing = empty.then(|| Writing::on(made));
                }
                Notice::Gone | Notice::Cut => {
                    moved = true;
                    if *notice == Notice::Cut {
                        self.cut = Some(Instant::now());
                    }
                    // It may be told late of the file that was here, when there is another already.
                    if look(&self.path).is_err() {
                        self.writing = None;
                    }
                }
                Notice::Moved => {
                    moved = true;
                    self.writing = None;
                }
                Notice::Touched => {}
            }
        }
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
    }

    /// Walks the way to the file, and watches it if it is another one or has been `moved`.
    fn walk(&mut self, moved: bool) {
        let way = Way::to(&self.path);
        let other = way != self.way;
        let watching = match &mut self.notices {
            Some(notices) if moved || other => notices.follow(&way),
            Some(_) => Ok(()),
            None if Instant::now() >= self.retry_at => {
                Notices::of(&way).map(|notices| self.notices = Some(notices))
            }
            None => Ok(()),
        };
        if let Err(error) = watching {
            self.notices = None;
            self.retry_at = Instant::now() + RETRY;
            // Nobody will tell of the close that is being waited for.
            self.writing = None;
            if !std::mem::replace(&mut self.warned, true) {
                tracing::warn!(path = %self.path.display(), %error,
                    "cannot watch the config file with inotify ({error}); looking at it every {LOOK:?} instead");
            }
        }
        if other {
            self.way = way;
            // What happened between the walk and the watch has left no hint.
            self.sign();
        }
    }
}

impl Writing {
    fn on(file: Look) -> Self {
        Self { file: file.ok().map(Identity::file), last: Instant::now() }
    }
}
