//! What the kernel tells of the names on a way, by way of notify.
//!
//! Notices come in the order in which things happened, but from a thread of notify's, a moment later.
//! So they say when a writer is at work; that nothing has happened they cannot say, and the watcher
//! looks at the file itself for that.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, MetadataKind, ModifyKind};
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::way::Way;

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
    /// Ends its watches when it is dropped.
    _watches: INotifyWatcher,
    told: Arc<Told>,
}

/// What has been told and not yet been taken in.
#[derive(Debug, Default)]
struct Told {
    notices: Mutex<Vec<Notice>>,
    arrived: Notify,
}

impl Notices {
    /// Watches a way.
    ///
    /// # Errors
    /// What the system says if it has no more watches to give.
    pub(super) fn of(way: &Way) -> notify::Result<Self> {
        let told = Arc::default();
        Ok(Self { _watches: watch(way, &told)?, told })
    }

    /// Watches another way, or the same one again: a watch whose directory or file was replaced is
    /// blind for what is there now. What is told and not taken in stays.
    pub(super) fn follow(&mut self, way: &Way) -> notify::Result<()> {
        self._watches = watch(way, &self.told)?;
        Ok(())
    }

    /// Waits until there may be something to drain. Cancel safe.
    pub(super) async fn ready(&self) {
        self.told.arrived.notified().await;
    }

    /// All that has been told so far, in order.
    pub(super) fn drain(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.told.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Told {
    fn tell(&self, notice: Notice) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        self.arrived.notify_one();
    }
}

/// Watches the directories of a way, and the file itself for what is written to it by another name or
/// beneath a mount. Directories above may be closed to us; there, a look now and then must do.
fn watch(way: &Way, told: &Arc<Told>) -> notify::Result<INotifyWatcher> {
    let names: HashSet<PathBuf> =
        way.steps().map(|(directory, name)| directory.join(name)).chain([way.end().to_owned()]).collect();
    let told = Arc::clone(told);
    let mut watches = INotifyWatcher::new(
        move |event: notify::Result<Event>| match event {
            Ok(event) if event.need_rescan() => told.tell(Notice::Moved),
            Ok(event) if event.paths.iter().any(|path| names.contains(path)) => {
                meaning(event.kind).into_iter().for_each(|notice| told.tell(notice));
            }
            Ok(_) => {}
            // Something was told that cannot be understood: anything may have happened.
            Err(error) => {
                tracing::debug!(%error, "inotify has trouble");
                told.tell(Notice::Moved);
            }
        },
        Config::default().with_follow_symlinks(false),
    )?;
    let directories: HashSet<&Path> = way.steps().map(|(directory, _)| directory).collect();
    for path in directories.into_iter().chain([way.end()]) {
        match watches.watch(path, RecursiveMode::NonRecursive) {
            Err(error) if is_exhaustion(&error) => return Err(error),
            Err(error) => tracing::debug!(path = %path.display(), %error, "cannot be watched"),
            Ok(()) => {}
        }
    }
    Ok(watches)
}

fn meaning(kind: EventKind) -> Option<Notice> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Notice::Closed),
        // Whoever reads changes nothing, and we read too.
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_)) => Some(Notice::Written),
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)) => Some(Notice::Touched),
        EventKind::Create(_) => Some(Notice::Made),
        _ => Some(Notice::Moved),
    }
}

/// Whether the system has no more watches to give, as opposed to a path that cannot be watched.
fn is_exhaustion(error: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => !matches!(error.kind(), NotFound | PermissionDenied | NotADirectory),
        _ => false,
    }
}
