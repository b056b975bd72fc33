//! Reports a slow start: at intervals in the log, and every second to systemd or
//! `shibudb start`.
//!
//! As long as the start makes progress, it asks systemd to extend the timeout. One that hangs, on a disk that no
//! longer answers, gets no more time than the unit allows. A start that is still reading its settings can be
//! aborted at any time: nothing has been opened yet that would need an orderly close.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::super::RunError;
use crate::store::OnDiskSize;
use crate::systemd::{self, ASK_FOR_TIME, MORE_TIME};
use crate::unpoisoned::Unpoisoned as _;

/// How often systemd gets a report. A shorter step needs none.
const TICK: Duration = Duration::from_secs(1);

/// How far the start has come. A handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage(Arc<Mutex<At>>);

#[derive(Debug, Clone, Default)]
enum At {
    /// Reading the settings, now from this file.
    #[default]
    Begun,
    Reading(PathBuf),
    /// Opening the store, since then; with the read and write counts of that moment.
    Opening {
        data_dir: PathBuf,
        begun: Instant,
        first: Option<Count>,
    },
    GivenUp,
}

/// Reports the start until it is dropped.
pub(super) struct Starting {
    over: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, At> {
        // Nothing under this lock can stop halfway.
        self.0.lock().unpoisoned()
    }

    /// This file is about to be read.
    pub(super) fn reading(&self, path: &Path) {
        let mut at = self.lock();
        if !matches!(*at, At::GivenUp) {
            *at = At::Reading(path.to_owned());
        }
    }

    /// The settings are read, and this thread is about to open the store; false if the start was given up.
    pub(super) fn opening(&self, data_dir: &Path) -> bool {
        let first = Io::of_this_thread().count();
        let mut at = self.lock();
        if matches!(*at, At::GivenUp) {
            return false;
        }
        *at = At::Opening { data_dir: data_dir.to_owned(), begun: Instant::now(), first };
        true
    }

    /// Aborts the start if it is still reading its settings; returns what it was waiting for.
    pub(super) fn give_up(&self) -> Option<String> {
        let mut at = self.lock();
        let waited_for = match &*at {
            At::Begun | At::GivenUp => "its settings".into(),
            At::Reading(path) => path.display().to_string(),
            At::Opening { .. } => return None,
        };
        *at = At::GivenUp;
        Some(waited_for)
    }
}

impl Starting {
    /// Reports the work that this thread is about to do.
    pub(super) fn begin(stage: &Stage) -> Result<Self, RunError> {
        let (over, is_over) = mpsc::channel();
        let (io, stage, begun) = (Io::of_this_thread(), stage.clone(), Instant::now());
        // Counted before anything is read: the other thread may first run when much has been read already.
        let pace = Pace { told: None, count: io.count() };
        let tell = move || tell(&stage, begun, &io, pace, &is_over);
        let teller = thread::Builder::new().name("starting".into()).spawn(tell);
        let teller = teller.map_err(|error| RunError::System("start a thread", error))?;
        Ok(Self { over: Some(over), teller: Some(teller) })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.over.take();
        // Joined, so that no late report follows the one that the server is ready.
        if self.teller.take().is_some_and(|teller| teller.join().is_err()) {
            tracing::error!("the thread that tells of the start panicked");
        }
    }
}

fn tell(stage: &Stage, begun: Instant, io: &Io, mut pace: Pace, over: &Receiver<()>) {
    let mut size = None;
    while over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let at = stage.lock().clone();
        let count = io.count();
        let text = match at {
            At::Begun | At::GivenUp => continue,
            At::Reading(path) => {
                format!(
                    "starting: waiting for {} to be read, for {} s",
                    path.display(),
                    begun.elapsed().as_secs()
                )
            }
            At::Opening { data_dir, begun, first } => {
                let size = *size.get_or_insert_with(|| OnDiskSize::of(&data_dir).unwrap_or_default());
                let read = count.zip(first).map(|(count, first)| count.read - first.read);
                words(size, read, begun.elapsed())
            }
        };
        let Due { line, more_time } = pace.look(begun.elapsed(), count);
        systemd::starting(&text, more_time.then_some(MORE_TIME));
        if line {
            tracing::info!("{text}");
        }
    }
}

fn words(OnDiskSize { journals, tables }: OnDiskSize, read: Option<u64>, elapsed: Duration) -> String {
    let size = |bytes| ByteSize::b(bytes).display().iec();
    let plural = if tables == 1 { "" } else { "s" };
    let seconds = elapsed.as_secs();
    let so_far = match read {
        Some(read) => format!("; {} read in {seconds} s", size(read)),
        None => format!(", for {seconds} s"),
    };
    format!("starting: opening the store, {} of journals and {tables} table{plural}{so_far}", size(journals))
}

/// When a line is due, and whether the start makes progress.
struct Pace {
    told: Option<Duration>,
    /// The count at that time.
    count: Option<Count>,
}

#[derive(Debug, PartialEq, Eq)]
struct Due {
    line: bool,
    more_time: bool,
}

impl Pace {
    fn look(&mut self, elapsed: Duration, count: Option<Count>) -> Due {
        if self.told.is_some_and(|told| elapsed < told + ASK_FOR_TIME) {
            return Due { line: false, more_time: false };
        }
        let more_time = count.is_some() && count != self.count;
        *self = Self { told: Some(elapsed), count };
        Due { line: true, more_time }
    }
}

/// How much a thread has read and written so far, as a sign of progress: the engine itself reports nothing
/// before it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    read: u64,
    written: u64,
}

/// The kernel's file with these counts.
struct Io(PathBuf);

impl Io {
    fn of_this_thread() -> Self {
        Self(format!("/proc/self/task/{}/io", rustix::thread::gettid()).into())
    }

    /// `None` if this kernel keeps no count.
    fn count(&self) -> Option<Count> {
        Count::parse(&fs::read_to_string(&self.0).ok()?)
    }
}

impl Count {
    fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some(Self { read: number("rchar:")?, written: number("wchar:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(read: u64) -> Option<Count> {
        Some(Count { read, written: 7 })
    }

    #[test]
    fn a_line_comes_at_once_and_then_every_five_seconds() {
        let mut pace = Pace { told: None, count: count(0) };
        let due: Vec<_> = (1..14_u64)
            .filter(|&second| pace.look(Duration::from_secs(second), count(second)).line)
            .collect();
        assert_eq!(due, [1, 6, 11]);
    }

    #[test]
    fn there_is_more_time_only_while_it_gets_on() {
        let mut pace = Pace { told: None, count: count(100) };
        for (second, now, more_time) in [
            (1, count(200), true),
            (6, count(200), false),
            (11, count(201), true),
            // Unknown.
            (16, None, false),
        ] {
            let due = pace.look(Duration::from_secs(second), now);
            assert_eq!(due, Due { line: true, more_time }, "{second}");
        }
    }

    #[test]
    fn what_this_thread_reads_is_counted() {
        let io = Io::of_this_thread();
        // A container may hide it.
        let Some(before) = io.count() else { return };
        let read = fs::read("/proc/self/cmdline").unwrap().len() as u64;
        assert!(io.count().unwrap().read >= before.read + read);
        assert_eq!(Count::parse("rchar: 12\nwchar: 7\nsyscr: 1\n"), count(12));
    }

    #[test]
    fn the_words_name_what_there_is_to_read() {
        let size = OnDiskSize { journals: 64 << 20, tables: 1 };
        assert_eq!(
            words(size, Some(3 << 19), Duration::from_millis(12_345)),
            "starting: opening the store, 64.0 MiB of journals and 1 table; 1.5 MiB read in 12 s"
        );
        assert_eq!(
            words(OnDiskSize::default(), None, Duration::from_secs(1)),
            "starting: opening the store, 0 B of journals and 0 tables, for 1 s"
        );
    }
}
