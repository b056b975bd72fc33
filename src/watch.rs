//! Notices edits of the config file, however they are made.
//!
//! What the kernel tells is only a hint. It is gathered until the file has been quiet for
//! [`QUIET`], then [`Watcher::changed`] returns, and the reader compares contents.
//!
//! **What is watched.** Never the file: a watch on an inode goes blind with the first rename. The
//! watches are on every directory in which a name on the way to the file is looked up, through all
//! symbolic links: for `/etc/shibudb/shibudb.toml` that is `/`, `/etc` and `/etc/shibudb`, and
//! where a Kubernetes volume is mounted there, the directory that `..data` points to as well. So a
//! link that is swapped and a directory that is made again are seen, and after each hint the way is
//! walked anew.
//!
//! **What is not seen that way** is a mount over the file or its directory, a change on a network
//! file system, and everything, where inotify cannot be had. So twice a second the file's
//! identity, size and times are compared too; that costs one system call. If inotify cannot be had
//! there is one warning, and this goes on alone.
//!
//! **When is a writer done?** A writer that has the file open and has written to it is not done
//! until it closes it: the kernel tells both, and tells the close even of a writer that dies. As
//! long as that close is missing, nothing is acted upon, for at most [`PATIENCE`]; a file replaced
//! by rename is complete by nature. Where inotify tells nothing, a file is taken as complete when
//! it has not changed for [`QUIET`]. A file that is edited without end is looked at every
//! [`LONGEST`], whenever no writer is in the middle of it.

mod way;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use way::Way;

/// How long the file must have been left alone.
const QUIET: Duration = Duration::from_millis(150);

/// How long edits in quick succession are gathered at most.
const LONGEST: Duration = Duration::from_secs(1);

/// How long a writer may keep the file open before its work so far is looked at all the same.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the file is looked at without a hint.
const LOOK: Duration = Duration::from_millis(500);

/// How often inotify is tried again after it could not be had.
const RETRY: Duration = Duration::from_secs(30);

/// Watches one path.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    hints: mpsc::UnboundedReceiver<Hint>,
    hints_sender: mpsc::UnboundedSender<Hint>,
    /// The directories in which the path's names are looked up, and where it ends.
    way: Way,
    inotify: Option<INotifyWatcher>,
    retry_at: Option<Instant>,
    warned: bool,
    seen: Look,
    /// Since when a writer has been in the middle of the file.
    writing_since: Option<Instant>,
}

/// What the kernel told of a name on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// Something was written to a file that is still open.
    Written,
    /// A writer has closed it.
    Closed,
    /// A name was made, removed, or means something else now.
    Renamed,
}

/// What a look from outside shows of a file; `Err` is why it shows nothing.
type Look = Result<Identity, io::ErrorKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watcher {
    /// A watcher of the file at `path`, which need not exist. `path` must be absolute.
    pub fn new(path: PathBuf) -> Self {
        let (hints_sender, hints) = mpsc::unbounded_channel();
        let mut watcher = Self {
            seen: look(&path),
            way: Way::default(),
            path,
            hints,
            hints_sender,
            inotify: None,
            retry_at: None,
            warned: false,
            writing_since: None,
        };
        watcher.follow();
        watcher
    }

    /// Waits until the file may have changed and its writer is done.
    pub async fn changed(&mut self) {
        self.first_sign().await;
        let begun = Instant::now();
        let mut quiet_at = begun + QUIET;
        loop {
            self.follow();
            let now = Instant::now();
            let patient = self.writing_since.is_some_and(|since| now < since + PATIENCE);
            if !patient && (now >= quiet_at || now >= begun + LONGEST) {
                return;
            }
            let until = if patient { now + QUIET } else { quiet_at.min(begun + LONGEST) };
            if self.sign(until).await {
                quiet_at = Instant::now() + QUIET;
            }
        }
    }

    /// Waits for a first sign, with a look now and then.
    async fn first_sign(&mut self) {
        loop {
            let look_at = Instant::now() + LOOK;
            if self.sign(look_at).await {
                return;
            }
            self.follow();
        }
    }

    /// Waits for a hint until an instant, and looks at the file then. Whether there was a sign of change.
    async fn sign(&mut self, until: Instant) -> bool {
        if let Ok(Some(hint)) = timeout_at(until, self.hints.recv()).await {
            self.take(hint);
            while let Ok(hint) = self.hints.try_recv() {
                self.take(hint);
            }
            self.seen = look(&self.path);
            // A burst of hints is one sign; reading it too eagerly would only burn time.
            sleep_until(Instant::now() + QUIET / 10).await;
            return true;
        }
        let before = std::mem::replace(&mut self.seen, look(&self.path));
        before != self.seen
    }

    fn take(&mut self, hint: Hint) {
        match hint {
            Hint::Written => {
                self.writing_since.get_or_insert_with(Instant::now);
            }
            Hint::Closed | Hint::Renamed => self.writing_since = None,
        }
    }

    /// Walks the way to the file again and watches the directories on it.
    fn follow(&mut self) {
        let way = Way::to(&self.path);
        let is_due = self.retry_at.is_some_and(|at| Instant::now() >= at);
        if way == self.way && !is_due {
            return;
        }
        // The old watches go first, so that the number of them is never doubled.
        self.inotify = None;
        match watch(&way, self.hints_sender.clone()) {
            Ok(inotify) => {
                self.inotify = Some(inotify);
                self.retry_at = None;
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY);
                // Nobody will tell of the close that is being waited for.
                self.writing_since = None;
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(path = %self.path.display(), %error,
                        "cannot watch the config file with inotify ({error}); looking at it twice a second instead");
                }
            }
        }
        if way != self.way {
            self.way = way;
            // What happened between the walk and the watch has left no hint.
            self.hints_sender.send(Hint::Renamed).ok();
        }
    }
}

/// Watches the directories of a way. Those above the last may be closed to us; there, a look now and
/// then must do.
fn watch(way: &Way, hints: mpsc::UnboundedSender<Hint>) -> notify::Result<INotifyWatcher> {
    let names = way.names();
    let mut watcher = INotifyWatcher::new(
        move |event: notify::Result<Event>| {
            // An error is an overflow of the queue: anything may have happened.
            let hint = event.map_or(Some(Hint::Renamed), |event| {
                let concerns_us = event.need_rescan() || event.paths.iter().any(|path| names.contains(path));
                concerns_us.then(|| meaning(event.kind)).flatten()
            });
            if let Some(hint) = hint {
                // The receiver is gone only when the daemon is.
                hints.send(hint).ok();
            }
        },
        notify::Config::default().with_follow_symlinks(false),
    )?;
    for directory in way.directories() {
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            Err(error) if is_exhaustion(&error) => return Err(error),
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "cannot watch a directory")
            }
        }
    }
    Ok(watcher)
}

fn meaning(kind: EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Closed),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => Some(Hint::Written),
        _ => Some(Hint::Renamed),
    }
}

/// Whether the system has no more watches to give, as opposed to a directory that cannot be watched.
fn is_exhaustion(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
        ),
        _ => false,
    }
}

fn look(path: &Path) -> Look {
    let metadata = fs::metadata(path).map_err(|error| error.kind())?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
