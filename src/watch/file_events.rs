//! What the kernel tells of the names on a way, by way of notify.
//!
//! Events come in the order in which things happened, but a moment later, from a thread of the crate `notify`.
//! So they say when a writer is at work; that nothing has happened they cannot say, and the watcher
//! looks at the file itself for that.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use notify::event::{AccessKind, AccessMode, EventKind, MetadataKind, ModifyKind, RenameMode};
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use rustix::io::Errno;
use tokio::sync::Notify;

use super::resolved_path::ResolvedPath;
use crate::unpoisoned::Unpoisoned as _;

/// Something happened to a name on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// The file was opened, perhaps only to be read. Not told of directories.
    Opened,
    /// Something was written to it, or it was cut short.
    Written,
    /// A writer has closed it.
    Closed,
    /// There is such a name now; a writer may have it open.
    Made,
    /// It is gone.
    Gone,
    /// A directory is gone: if there is another in its place, not all that happens in it may be told.
    Cut,
    /// It means something else now.
    Moved,
    /// Its owner, its mode or its times.
    Touched,
}

/// The watches on one way.
#[derive(Debug)]
pub(super) struct FileEvents {
    watches: INotifyWatcher,
    watched: HashSet<PathBuf>,
    told: Arc<Told>,
}

/// What has been told and not yet been taken in.
#[derive(Debug, Default)]
struct Told {
    /// The paths that matter; the directories hold others too.
    names: Mutex<Names>,
    notices: Mutex<Vec<FileEvent>>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Names {
    all: HashSet<PathBuf>,
    /// The file's; all others are directories, or links to them.
    file: PathBuf,
}

impl FileEvents {
    /// Watches a way.
    ///
    /// # Errors
    /// What the system says if it has no more watches to give.
    pub(super) fn of(resolved: &ResolvedPath) -> notify::Result<Self> {
        let told: Arc<Told> = Arc::default();
        let hears = Arc::clone(&told);
        let watches = INotifyWatcher::new(move |event| hears.hear(event), Config::default())?;
        let mut events = Self { watches, watched: HashSet::new(), told };
        events.follow(resolved)?;
        Ok(events)
    }

    /// Watches another way, or the same one again: where a directory or the file was replaced, what is
    /// there now is watched. Nothing is missed of what is still there.
    ///
    /// # Errors
    /// As [`FileEvents::of`].
    pub(super) fn follow(&mut self, resolved: &ResolvedPath) -> notify::Result<()> {
        let end = resolved.end().to_owned();
        let names = resolved.steps().map(|(directory, name)| directory.join(name)).chain([end.clone()]);
        *lock(&self.told.names) = Names { all: names.collect(), file: end.clone() };
        // The file itself too, for what is written to it by another name or beneath a mount.
        let wanted: HashSet<_> =
            resolved.steps().map(|(directory, _)| directory.to_owned()).chain([end]).collect();
        for path in &wanted {
            match self.watches.watch(path, RecursiveMode::NonRecursive) {
                Err(error) if is_exhaustion(&error) => return Err(error),
                // Directories above may be closed to us; there, a look now and then must do.
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "cannot watch {}: {error}", path.display());
                }
                Ok(()) => {}
            }
        }
        for path in self.watched.difference(&wanted) {
            // It may be gone, and its watch with it.
            self.watches.unwatch(path).ok();
        }
        self.watched = wanted;
        Ok(())
    }

    /// Waits until there may be something to drain. Cancel safe.
    pub(super) async fn ready(&self) {
        self.told.arrived.notified().await;
    }

    /// All that has been told so far, in order.
    pub(super) fn drain(&self) -> Vec<FileEvent> {
        std::mem::take(&mut *lock(&self.told.notices))
    }
}

impl Told {
    /// Takes down an event if it is about one of the names. Runs on notify's thread.
    fn hear(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if event.need_rescan() => Some(FileEvent::Moved),
            Ok(event) => {
                let names = lock(&self.names);
                let name = event.paths.iter().find(|path| names.all.contains(*path));
                name.and_then(|name| match meaning(event.kind) {
                    Some(FileEvent::Opened) if *name != names.file => None,
                    Some(FileEvent::Gone) if *name != names.file => Some(FileEvent::Cut),
                    meaning => meaning,
                })
            }
            // Something was told that cannot be understood: anything may have happened.
            Err(error) => {
                tracing::debug!(%error, "inotify failed: {error}");
                Some(FileEvent::Moved)
            }
        };
        if let Some(event) = event {
            lock(&self.notices).push(event);
            self.arrived.notify_one();
        }
    }
}

/// Nothing under these locks can stop halfway, so what is behind a poisoned one is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

fn meaning(kind: EventKind) -> Option<FileEvent> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(FileEvent::Closed),
        EventKind::Access(AccessKind::Open(_)) => Some(FileEvent::Opened),
        // Whoever reads changes nothing, and we read too.
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => Some(FileEvent::Written),
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)) => Some(FileEvent::Touched),
        EventKind::Create(_) => Some(FileEvent::Made),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(FileEvent::Gone),
        _ => Some(FileEvent::Moved),
    }
}

/// Whether the system has no more watches to give, as opposed to a path that cannot be watched: one that is missing,
/// closed to us, or a link to itself.
fn is_exhaustion(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => matches!(
            error.raw_os_error().map(Errno::from_raw_os_error),
            Some(Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::NOMEM)
        ),
        _ => false,
    }
}
