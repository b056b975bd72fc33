//! Writes to disk what control has decided: the override, and the records of all attempts.
//!
//! A thread of its own waits for the disk, so that the control thread never does: a data directory whose file
//! system does not answer stops no change of the limit. Only the newest override counts; one that
//! could not be stored is retried every [`RETRY`] and with every change. At most [`MOST_WAITING`] records
//! wait.
//!
//! The caller of a change gets its answer once the change is stored, or after [`MAX_WAIT`] that it is not. The
//! override is stored before the record of its change, and the history does not show a change until both are on
//! disk: what it shows survives a crash. Only when the disk takes longer than [`MAX_WAIT`] is it shown earlier.
//!
//! The file is long because one lock protects the queue of both files, and their order is the promise.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::history::Position;
use super::history_file::HistoryFile;
use super::override_file::OverrideFile;
use super::{History, Override, Record, StartError};
use crate::unpoisoned::Unpoisoned as _;

/// How long the answer to a change waits for the disk.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);

/// How often a failed write of an override is retried.
const RETRY: Duration = Duration::from_secs(5);

/// How many records may wait for the disk.
const MOST_WAITING: usize = 4096;

/// Which parts of a change are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The limit, as far as it is to survive a restart: the next start begins with it.
    pub limit: bool,
    /// The record of the attempt.
    pub record: bool,
}

/// Tells when a change is stored.
#[derive(Debug)]
pub(super) struct Receipt(Option<oneshot::Receiver<Stored>>);

/// Queues writes; owned by the control thread and its handles.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to do.
    work: Condvar,
    /// There is nothing left to do.
    idle: Condvar,
    history: Arc<History>,
}

#[derive(Debug)]
struct Queue {
    /// The intended content of the override's file.
    override_: Option<Override>,
    /// Version numbers of the override: the newest, the one in the file, the last one tried.
    newest: u64,
    stored: u64,
    tried: u64,
    failure: Option<Failure>,
    records: VecDeque<Waiting>,
    /// Callers that wait for an override alone.
    askers: Vec<(u64, oneshot::Sender<Stored>)>,
    /// Since when the thread has been waiting for the disk.
    busy: Option<Instant>,
    /// Nothing more will be queued.
    ended: bool,
}

/// Why the override could not be stored, and when that was tried.
#[derive(Debug, Clone)]
struct Failure {
    at: Instant,
    reason: String,
}

/// A record that is not on the disk yet.
#[derive(Debug)]
struct Waiting {
    position: Position,
    record: Record,
    /// The override that belongs to it.
    version: u64,
    /// Whether the history shows it.
    is_shown: bool,
    since: Instant,
    reply: oneshot::Sender<Stored>,
}

/// What is written to disk in one go.
struct Batch {
    override_: Option<(u64, Option<Override>)>,
    records: Vec<Record>,
}

impl Stored {
    /// All of it.
    pub const ALL: Self = Self { limit: true, record: true };

    /// Nothing, as far as is known.
    pub const NOTHING: Self = Self { limit: false, record: false };
}

impl Storage {
    /// Starts the thread. `stored` is what the file holds.
    pub(super) fn start(
        file: OverrideFile,
        stored: Option<Override>,
        history_file: HistoryFile,
        history: Arc<History>,
    ) -> Result<Self, StartError> {
        let queue = Queue {
            override_: stored,
            newest: 0,
            stored: 0,
            tried: 0,
            failure: None,
            records: VecDeque::new(),
            askers: Vec::new(),
            // Making room is the first wait.
            busy: Some(Instant::now()),
            ended: false,
        };
        let shared = Shared { queue: Mutex::new(queue), work: Condvar::new(), idle: Condvar::new(), history };
        let storage = Self { shared: Arc::new(shared) };
        let shared = Arc::clone(&storage.shared);
        thread::Builder::new()
            .name("control-disk".into())
            .spawn(move || shared.run(&file, history_file))
            .map_err(StartError::Thread)?;
        Ok(storage)
    }

    /// Makes this override the intended content of the file.
    pub(super) fn store(&self, override_: Option<Override>) -> Receipt {
        let mut queue = self.shared.lock();
        queue.want(override_);
        let (reply, receipt) = oneshot::channel();
        let version = queue.newest;
        queue.askers.push((version, reply));
        queue.answer_askers();
        let is_stuck = queue.is_stuck(Instant::now());
        drop(queue);
        self.shared.work.notify_one();
        Receipt((!is_stuck).then_some(receipt))
    }

    /// Stores a record after the last queued override. The history shows it then, unless it does
    /// already.
    pub(super) fn record(&self, position: Position, record: Record, is_shown: bool) -> Receipt {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        // A caller that arrives while the disk does not answer need not wait to find that out again.
        let is_stuck = queue.is_stuck(now);
        let show_now = !is_shown && is_stuck;
        if show_now {
            self.shared.history.show(position, record.clone());
        }
        if queue.records.len() >= MOST_WAITING {
            drop(queue);
            if !is_shown && !show_now {
                self.shared.history.show(position, record);
            }
            let lost = self.shared.history.count_unwritten(1);
            tracing::error!(
                lost,
                "too many limit-change records are waiting for the disk: one was dropped, {lost} so far"
            );
            return Receipt(None);
        }
        let (reply, receipt) = oneshot::channel();
        let (version, is_shown) = (queue.newest, is_shown || is_stuck);
        queue.records.push_back(Waiting { position, record, version, is_shown, since: now, reply });
        drop(queue);
        self.shared.work.notify_one();
        Receipt((!is_stuck).then_some(receipt))
    }

    /// Waits until the queued write is stored, but at most [`MAX_WAIT`].
    pub(super) async fn wait(&self, receipt: Receipt) -> Stored {
        let Receipt(Some(receipt)) = receipt else { return Stored::NOTHING };
        if let Ok(Ok(stored)) = tokio::time::timeout(MAX_WAIT, receipt).await {
            return stored;
        }
        self.show_overdue();
        Stored::NOTHING
    }

    /// Makes the history show the records that have waited too long for the disk.
    pub(super) fn show_overdue(&self) {
        let mut queue = self.shared.lock();
        let now = Instant::now();
        for waiting in &mut queue.records {
            if !waiting.is_shown && now >= waiting.since + MAX_WAIT {
                waiting.is_shown = true;
                self.shared.history.show(waiting.position, waiting.record.clone());
            }
        }
    }

    /// Whether anything waits for the disk.
    pub(super) fn is_waiting(&self) -> bool {
        let queue = self.shared.lock();
        queue.busy.is_some() || !queue.records.is_empty()
    }

    /// How long the disk has not answered, if that is longer than usual.
    pub(super) fn stuck(&self) -> Option<Duration> {
        let now = Instant::now();
        let queue = self.shared.lock();
        queue.busy.filter(|_| queue.is_stuck(now)).map(|since| now - since)
    }

    /// Why the next start would not begin with the limit in force; `None` if it would.
    pub(super) fn trouble(&self) -> Option<String> {
        let now = Instant::now();
        let queue = self.shared.lock();
        if queue.stored == queue.newest {
            return None;
        }
        match (queue.busy, &queue.failure) {
            (Some(since), _) if queue.is_stuck(now) => {
                Some(format!("the disk has not responded for {} s", (now - since).as_secs()))
            }
            (_, failure) => failure.as_ref().map(|failure| failure.reason.clone()),
        }
    }

    /// Waits until everything has been stored or tried. Returns whether that was achieved.
    pub(super) fn flush(&self, max_wait: Duration) -> bool {
        let queue = self.shared.lock();
        let (queue, _) =
            self.shared.idle.wait_timeout_while(queue, max_wait, |queue| !queue.is_idle()).unpoisoned();
        queue.is_idle()
    }

    /// Nothing more will be queued: the thread ends when its work is done.
    pub(super) fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn run(&self, file: &OverrideFile, mut history_file: HistoryFile) {
        if let Err(error) = file.keep_room() {
            tracing::warn!(path = %file.path().display(), %error,
                "cannot reserve disk space in {} for a limit set at run time ({error}); storing one may fail on a \
                 full disk",
                file.path().display());
        }
        self.rest(&mut self.lock());
        while let Some(Batch { override_, records }) = self.next() {
            let tried = override_.map(|(version, override_)| (version, file.write(override_.as_ref())));
            let (written, result) = history_file.append(&records);
            if let Err(error) = result {
                let lost = self.history.count_unwritten((records.len() - written) as u64);
                tracing::error!(path = %history_file.path().display(), %error, lost,
                    "could not record a limit change in the history file {}: {error}; the change is in effect \
                     (records lost so far: {lost})",
                    history_file.path().display());
            }
            let told = self.finish(records.len(), written, tried);
            match told {
                Some(Err(reason)) => tracing::error!(path = %file.path().display(), error = reason,
                    "could not store the limit in {}: {reason}; it is in effect until the next start",
                    file.path().display()),
                Some(Ok(())) => tracing::info!(path = %file.path().display(),
                    "the limit is stored in {} again", file.path().display()),
                None => {}
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Batch> {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let until_retry = queue.failure.as_ref().map(|failure| RETRY.saturating_sub(now - failure.at));
            if !queue.is_idle() || (until_retry == Some(Duration::ZERO) && !queue.ended) {
                let is_behind = queue.stored != queue.newest;
                let override_ = is_behind.then(|| (queue.newest, queue.override_.clone()));
                let records = queue.records.iter().map(|waiting| waiting.record.clone()).collect();
                queue.busy = Some(now);
                return Some(Batch { override_, records });
            }
            if queue.ended {
                return None;
            }
            queue = match until_retry {
                Some(pause) => self.work.wait_timeout(queue, pause).unpoisoned().0,
                None => self.work.wait(queue).unpoisoned(),
            };
        }
    }

    /// Sends the result of a batch to all callers that wait for it. Returns what is worth logging: that the override
    /// could not be stored, or that it could again.
    fn finish(
        &self,
        records: usize,
        written: usize,
        tried: Option<(u64, std::io::Result<()>)>,
    ) -> Option<Result<(), String>> {
        let mut queue = self.lock();
        let told = match tried {
            None => None,
            Some((version, Ok(()))) => {
                (queue.tried, queue.stored) = (version, version);
                queue.failure.take().map(|_| Ok(()))
            }
            Some((version, Err(error))) => {
                let is_news = queue.failure.is_none() || queue.tried != version;
                queue.tried = version;
                let reason = error.to_string();
                queue.failure = Some(Failure { at: Instant::now(), reason: reason.clone() });
                is_news.then_some(Err(reason))
            }
        };
        let stored = queue.stored;
        for (number, waiting) in queue.records.drain(..records).enumerate() {
            if !waiting.is_shown {
                self.history.show(waiting.position, waiting.record);
            }
            // The caller may not have waited.
            waiting.reply.send(Stored { limit: stored >= waiting.version, record: number < written }).ok();
        }
        queue.answer_askers();
        self.rest(&mut queue);
        told
    }

    /// The thread no longer waits for the disk.
    fn rest(&self, queue: &mut Queue) {
        queue.busy = None;
        if queue.is_idle() {
            self.idle.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No invariant is broken halfway while this lock is held.
        self.queue.lock().unpoisoned()
    }
}

impl Queue {
    fn want(&mut self, override_: Option<Override>) {
        if self.override_ != override_ {
            self.override_ = override_;
            self.newest += 1;
        }
    }

    /// Whether there is nothing to do except to retry failed writes.
    fn is_idle(&self) -> bool {
        self.busy.is_none() && self.records.is_empty() && self.tried == self.newest
    }

    fn answer_askers(&mut self) {
        let (stored, tried) = (self.stored, self.tried);
        let known = self.askers.extract_if(.., |(version, _)| stored >= *version || tried >= *version);
        for (version, reply) in known {
            // The caller may not have waited.
            reply.send(Stored { limit: stored >= version, record: true }).ok();
        }
    }

    fn is_stuck(&self, now: Instant) -> bool {
        self.busy.is_some_and(|since| now >= since + MAX_WAIT)
    }
}
