//! Follows a file on a thread of its own, so that no other thread waits for its file system.
//!
//! A network file system whose server is gone, and a FUSE file system that hangs, block every thread that stats a file,
//! reads it or requests an inotify watch. Only this thread is affected: callers await the file's content here, for a
//! bounded time. The thread is never joined; it ends with the process, or when its [`Follower`] is dropped and the file
//! system answers.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Reading, Unfinished, Watcher};
use crate::unpoisoned::Unpoisoned as _;

/// After this long without an answer a file system counts as silent.
const SILENT: Duration = Duration::from_secs(1);

/// How long to wait for an answer: longer than it takes to see that a file stays unchanged.
const ANSWER: Duration = Duration::from_secs(3);

/// The file, as seen from another thread.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    asks: mpsc::Sender<oneshot::Sender<Result<T, Unfinished>>>,
    found: mpsc::Receiver<T>,
    /// A result that arrived during a wait for an answer.
    kept: Option<T>,
    at_work: Arc<AtWork>,
    /// The thread's call at the last check.
    looked_at: Option<Since>,
    silent: Option<Timestamp>,
}

/// Why the file's current content is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// Its writer has not finished.
    Unfinished(Unfinished),
    /// Its file system has not answered since then.
    Silent(Timestamp),
    /// The thread has ended.
    Ended,
}

/// Since when the thread has been in its current call; `None` while it is idle.
#[derive(Debug, Default)]
struct AtWork(Mutex<Option<Since>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    begun: Instant,
    time: Timestamp,
}

impl<T: Send + 'static> Follower<T> {
    /// Follows the file at `path`, which is absolute and need not exist, and has `read` read it whenever it may have
    /// changed; waits up to `max_wait` for the rest of an incomplete text.
    ///
    /// # Errors
    /// The system's error if the thread cannot be started.
    pub(crate) fn start(
        thread_name: &str,
        path: PathBuf,
        max_wait: Duration,
        read: impl Fn(&Path) -> Reading<T> + Send + 'static,
    ) -> io::Result<Self> {
        let (asks, asked) = mpsc::channel(1);
        let (finds, found) = mpsc::channel(1);
        let at_work = Arc::<AtWork>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let work = {
            let at_work = Arc::clone(&at_work);
            move || runtime.block_on(at_work.of(follow(path, max_wait, read, asked, finds)))
        };
        thread::Builder::new().name(thread_name.into()).spawn(work)?;
        Ok(Self { asks, found, kept: None, at_work, looked_at: None, silent: None })
    }

    /// The file's content after it may have changed; `None` if the thread has ended. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Option<T> {
        match self.kept.take() {
            Some(kept) => Some(kept),
            None => self.found.recv().await,
        }
    }

    /// The file's current content.
    ///
    /// # Errors
    /// [`NotRead`], after a bounded time.
    pub(crate) async fn read(&mut self) -> Result<T, NotRead> {
        if let Some(since) = self.silent {
            return Err(NotRead::Silent(since));
        }
        let (reply, answer) = oneshot::channel();
        match self.asks.try_send(reply) {
            Ok(()) => {}
            // One request is pending already, whose caller gave up.
            Err(mpsc::error::TrySendError::Full(_)) => return Err(self.is_silent()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(NotRead::Ended),
        }
        let answer = async {
            let mut answer = pin!(answer);
            loop {
                tokio::select! {
                    answer = &mut answer => return answer,
                    // The thread would block until it is taken.
                    Some(found) = self.found.recv() => self.kept = Some(found),
                }
            }
        };
        match timeout(ANSWER, answer).await {
            Ok(Ok(Ok(value))) => {
                // It is older.
                self.kept = None;
                Ok(value)
            }
            Ok(Ok(Err(unfinished))) => Err(NotRead::Unfinished(unfinished)),
            Ok(Err(_)) => Err(NotRead::Ended),
            Err(_) => Err(self.is_silent()),
        }
    }

    /// Since when the file system has been silent, if it is. Call it now and then: it takes two checks to tell a thread
    /// that waits from a process that was stopped.
    pub(crate) fn silent_since(&mut self) -> Option<Timestamp> {
        let since = *self.at_work.lock();
        let still = since.filter(|since| self.looked_at == Some(*since) && since.begun.elapsed() >= SILENT);
        self.looked_at = since;
        self.silent = still.map(|since| since.time);
        self.silent
    }

    fn is_silent(&self) -> NotRead {
        NotRead::Silent(self.at_work.lock().map_or_else(Timestamp::now, |since| since.time))
    }
}

impl AtWork {
    fn lock(&self) -> MutexGuard<'_, Option<Since>> {
        // No code that holds this lock can stop halfway.
        self.0.lock().unpoisoned()
    }

    /// Runs `work`, which may block for ever: the thread counts as busy while `work` is being polled.
    async fn of<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            *self.lock() = Some(Since { begun: Instant::now(), time: Timestamp::now() });
            let polled = work.as_mut().poll(context);
            *self.lock() = None;
            polled
        })
        .await
    }
}

/// The body of the thread.
async fn follow<T>(
    path: PathBuf,
    max_wait: Duration,
    read: impl Fn(&Path) -> Reading<T>,
    mut asked: mpsc::Receiver<oneshot::Sender<Result<T, Unfinished>>>,
    finds: mpsc::Sender<T>,
) {
    let mut watcher = Watcher::new(path, max_wait);
    loop {
        let reply = tokio::select! {
            reply = asked.recv() => match reply {
                Some(reply) => Some(reply),
                None => return,
            },
            () = watcher.changed() => None,
        };
        let result = watcher.read(&read).await;
        let found = match reply {
            // A result whose caller has gone may still be news.
            Some(reply) => reply.send(result).err(),
            None => Some(result),
        };
        if let Some(Ok(found)) = found
            && finds.send(found).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as sync;

    use super::*;

    /// A reading that blocks until it is released.
    #[tokio::test]
    async fn a_file_system_that_hangs_is_told_in_bounded_time_and_its_news_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "text\n").unwrap();
        let (go_on, held) = sync::channel::<()>();
        let read = move |path: &Path| {
            // Until the test releases it.
            held.recv().ok();
            Reading { value: std::fs::read_to_string(path).unwrap(), complete: true }
        };
        let mut follower = Follower::start("file", path.clone(), Duration::ZERO, read).unwrap();
        let NotRead::Silent(since) = follower.read().await.unwrap_err() else { panic!("it is silent") };
        // The thread gets no more work, and no caller waits for it.
        assert!(matches!(follower.read().await, Err(NotRead::Silent(_))));
        follower.silent_since();
        assert!(follower.silent_since().is_some_and(|told| told <= since));
        std::fs::write(&path, "news\n").unwrap();
        drop(go_on);
        let mut found = follower.changed().await;
        while found.as_deref() != Some("news\n") {
            found = follower.changed().await;
        }
        assert_eq!(follower.silent_since(), None);
        assert_eq!(follower.read().await, Ok("news\n".into()));
    }
}
