//! The kernel's events about the names on a path, by way of notify.
//!
//! Events arrive in the order in which things happened, but slightly later, from a thread of the crate `notify`. So
//! they show that a writer is at work, but cannot show that nothing has happened: for that the watcher checks the file
//! itself.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use notify::event::{AccessKind, AccessMode, EventKind, MetadataKind, ModifyKind, RenameMode};
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use rustix::io::Errno;
use tokio::sync::Notify;

use super::resolved_path::ResolvedPath;
use crate::unpoisoned::Unpoisoned as _;

/// An event on a name on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileEvent {
    /// The file was opened, perhaps only for reading. Not reported for directories.
    Opened,
    /// The file was written to or truncated.
    Written,
    /// A writer has closed it.
    Closed,
    /// The name exists now; a writer may have it open.
    Made,
    /// The name is gone.
    Gone,
    /// A directory is gone: if another replaced it, some events in it may be missing.
    Cut,
    /// The name refers to something else now.
    Moved,
    /// Its owner, its mode or its times changed.
    Touched,
}

/// The watches on one path.
#[derive(Debug)]
pub(super) struct FileEvents {
    watches: INotifyWatcher,
    watched: HashSet<PathBuf>,
    told: Arc<Told>,
}

/// Events that have arrived and have not been drained.
#[derive(Debug, Default)]
struct Told {
    /// The paths that matter; the directories contain others too.
    names: Mutex<Names>,
    events: Mutex<Vec<FileEvent>>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Names {
    all: HashSet<PathBuf>,
    /// The file's; all others are directories, or links to them.
    file: PathBuf,
}

impl FileEvents {
    /// Watches a path.
    ///
    /// # Errors
    /// The system's error if its limit of watches is reached.
    pub(super) fn of(resolved: &ResolvedPath) -> notify::Result<Self> {
        let told: Arc<Told> = Arc::default();
        let hears = Arc::clone(&told);
        let watches = INotifyWatcher::new(move |event| hears.hear(event), Config::default())?;
        let mut events = Self { watches, watched: HashSet::new(), told };
        events.follow(resolved)?;
        Ok(events)
    }

    /// Watches another path, or the same one again: where a directory or the file was replaced, its replacement is
    /// watched. Loses no event of what still exists.
    ///
    /// # Errors
    /// As [`FileEvents::of`].
    pub(super) fn follow(&mut self, resolved: &ResolvedPath) -> notify::Result<()> {
        let end = resolved.end().to_owned();
        let names = resolved.steps().map(|(directory, name)| directory.join(name)).chain([end.clone()]);
        *lock(&self.told.names) = Names { all: names.collect(), file: end.clone() };
        // The file itself too, for writes to it by another name or beneath a mount.
        let wanted: HashSet<_> =
            resolved.steps().map(|(directory, _)| directory.to_owned()).chain([end]).collect();
        for path in &wanted {
            match self.watches.watch(path, RecursiveMode::NonRecursive) {
                Err(error) if is_exhaustion(&error) => return Err(error),
                // Parent directories may be unreadable; there, a check now and then must do.
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

    /// All events so far, in order.
    pub(super) fn drain(&self) -> Vec<FileEvent> {
        std::mem::take(&mut *lock(&self.told.events))
    }
}

impl Told {
    /// Records an event if it is about one of the names. Runs on notify's thread.
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
            // Events were lost or unreadable: anything may have happened.
            Err(error) => {
                tracing::debug!(%error, "inotify failed: {error}");
                Some(FileEvent::Moved)
            }
        };
        if let Some(event) = event {
            lock(&self.events).push(event);
            self.arrived.notify_one();
        }
    }
}

/// No code that holds these locks can stop halfway, so the data behind a poisoned one is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

fn meaning(kind: EventKind) -> Option<FileEvent> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(FileEvent::Closed),
        EventKind::Access(AccessKind::Open(_)) => Some(FileEvent::Opened),
        // Reading changes nothing, and we read too.
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => Some(FileEvent::Written),
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)) => Some(FileEvent::Touched),
        EventKind::Create(_) => Some(FileEvent::Made),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(FileEvent::Gone),
        _ => Some(FileEvent::Moved),
    }
}

/// Whether the system's limit of watches is reached, as opposed to a path that cannot be watched: one that is missing,
/// unreadable, or a link to itself.
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
