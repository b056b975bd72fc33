//! The queue between the threads that log and the one that writes.
//!
//! Its lock is held no longer than it takes to copy a line: the writer takes a line out before it writes.
//! The queue is bounded in lines and in bytes, and what does not fit is dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::journal::Recorded;
use super::panics;
use super::priority::Priority;
use crate::unpoisoned::Unpoisoned as _;

/// The most lines that may wait, and the most bytes. Minutes of a busy server's log, and little of its memory.
const LINES: usize = 4096;
const BYTES: usize = 1 << 20;

/// How many more lines and bytes are kept for panics.
const LINES_OF_PANICS: usize = 64;
const BYTES_OF_PANICS: usize = 256 << 10;

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the writer: there is work.
    arrived: Condvar,
    /// For callers that wait until everything is written.
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Entry>,
    /// Of these lines, and of the one that is being written.
    bytes: usize,
    /// The writer is writing a line, or about to log how many were dropped.
    writing: bool,
    /// Dropped lines not yet mentioned in the log.
    unmentioned: u64,
    /// The last line could not be written.
    fails: bool,
}

/// An entry to write.
#[derive(Debug)]
pub(super) enum Entry {
    /// A line, as it is.
    Line(Box<[u8]>),
    /// An event, for the journal.
    Event(Recorded),
}

/// A task for the writer.
#[derive(Debug)]
pub(super) enum Task {
    /// Write this line and report the result: [`Queue::written`].
    Write(Entry),
    /// Log that this many lines were dropped, since there is room again: [`Queue::mentioned`].
    Mention(u64),
}

/// How much room a line may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Ordinary,
    Panic,
}

impl Room {
    fn of(event: &Metadata<'_>) -> Self {
        if event.target() == panics::TARGET { Self::Panic } else { Self::Ordinary }
    }

    fn limits(self) -> (usize, usize) {
        match self {
            Self::Ordinary => (LINES, BYTES),
            Self::Panic => (LINES + LINES_OF_PANICS, BYTES + BYTES_OF_PANICS),
        }
    }
}

impl Entry {
    /// How many bytes of the queue it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::Event(event) => event.size(),
        }
    }
}

impl Queue {
    /// Adds the entry of an event, or counts it as dropped.
    pub(super) fn push(&self, event: &Metadata<'_>, entry: Entry) {
        self.add(entry, Room::of(event));
    }

    fn add(&self, line: Entry, room: Room) {
        let (most_lines, most_bytes) = room.limits();
        let mut state = self.state();
        let bytes = state.bytes + line.size();
        if state.lines.len() >= most_lines || bytes > most_bytes {
            state.unmentioned += 1;
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes = bytes;
        state.lines.push_back(line);
        drop(state);
        self.arrived.notify_one();
    }

    /// The writer's next task; waits until there is one.
    pub(super) fn next(&self) -> Task {
        let mut state = self.state();
        loop {
            let has_room = state.lines.len() <= LINES / 2 && state.bytes <= BYTES / 2;
            // If no line can be written at all, this one could not be, either.
            if state.unmentioned > 0 && has_room && !state.fails {
                state.writing = true;
                return Task::Mention(std::mem::take(&mut state.unmentioned));
            }
            if let Some(line) = state.lines.pop_front() {
                state.writing = true;
                return Task::Write(line);
            }
            state = self.arrived.wait(state).unpoisoned();
        }
    }

    /// The writer has logged how many lines were dropped.
    pub(super) fn mentioned(&self) {
        let mut state = self.state();
        state.writing = false;
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
    }

    /// The writer is done with a line of `bytes` bytes.
    pub(super) fn written(&self, bytes: usize, result: &io::Result<()>) {
        let mut state = self.state();
        state.writing = false;
        state.bytes -= bytes;
        state.fails = result.is_err();
        if state.fails {
            state.unmentioned += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
    }

    /// Lines that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits at most `longest` until all lines are written. Returns whether they are.
    pub(super) fn flush(&self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let mut state = self.state();
        while state.writing || !state.lines.is_empty() || (state.unmentioned > 0 && !state.fails) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.idle.wait_timeout(state, left).unpoisoned().0;
        }
        true
    }

    #[cfg(test)]
    pub(super) fn take_one(&self) -> Option<Entry> {
        self.state().lines.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

/// Puts each formatted line into the queue.
pub(super) struct Lines {
    queue: Arc<Queue>,
    /// Whether lines begin with their priority.
    with_priority: bool,
}

/// A line being formatted.
pub(super) struct Line<'a> {
    queue: &'a Queue,
    room: Room,
    priority: Option<Priority>,
}

impl Lines {
    pub(super) fn of(queue: &Arc<Queue>, with_priority: bool) -> Self {
        Self { queue: Arc::clone(queue), with_priority }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: &self.queue, room: Room::Ordinary, priority: None }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        let priority = self.with_priority.then(|| Priority::of(*event.level()));
        Line { queue: &self.queue, room: Room::of(event), priority }
    }
}

impl io::Write for Line<'_> {
    /// Takes a whole line, since the formatter writes it in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let entry = match self.priority {
            Some(priority) => priority.before_each_line(&String::from_utf8_lossy(line)).into_bytes().into(),
            None => line.into(),
        };
        self.queue.add(Entry::Line(entry), self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Entry {
        Entry::Line(text.as_bytes().into())
    }

    #[track_caller]
    fn expect_line(queue: &Queue, text: &str) {
        let Task::Write(Entry::Line(line)) = queue.next() else { panic!("there is no line to write") };
        assert_eq!(*line, *text.as_bytes());
    }

    #[track_caller]
    fn expect_mention(queue: &Queue, lines: u64) {
        assert!(matches!(queue.next(), Task::Mention(dropped) if dropped == lines));
    }

    fn write_one(queue: &Queue) {
        let Task::Write(line) = queue.next() else { panic!("there is a line to write") };
        queue.written(line.size(), &Ok(()));
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_mentioned_once_when_there_is_room() {
        let queue = Queue::default();
        for _ in 0..LINES + 3 {
            queue.add(line("a line"), Room::Ordinary);
        }
        assert_eq!(queue.dropped(), 3);
        for _ in 0..LINES / 2 {
            write_one(&queue);
        }
        expect_mention(&queue, 3);
        queue.mentioned();
        for _ in 0..LINES / 2 {
            write_one(&queue);
        }
        assert!(queue.flush(Duration::ZERO));
        assert_eq!(queue.dropped(), 3);
    }

    #[test]
    fn bytes_are_bounded_and_those_of_the_line_that_is_being_written_count() {
        let queue = Queue::default();
        let half = "x".repeat(BYTES / 2);
        queue.add(line(&half), Room::Ordinary);
        queue.add(line(&half), Room::Ordinary);
        assert_eq!(queue.dropped(), 0);
        let Task::Write(first) = queue.next() else { panic!("there is a line to write") };
        queue.add(line("x"), Room::Ordinary);
        assert_eq!(queue.dropped(), 1, "the first is still in memory");
        queue.written(first.size(), &Ok(()));
        queue.add(line("x"), Room::Ordinary);
        assert_eq!(queue.dropped(), 1);
        queue.add(line(&"x".repeat(BYTES)), Room::Ordinary);
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn a_panic_has_room_when_others_have_not() {
        let queue = Queue::default();
        for _ in 0..=LINES {
            queue.add(line("a line"), Room::Ordinary);
        }
        for _ in 0..=LINES_OF_PANICS {
            queue.add(line("a panic"), Room::Panic);
        }
        assert_eq!(queue.dropped(), 2, "one of each: there is an end to this as well");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_mentioned_after_what_can_be() {
        let queue = Queue::default();
        let full = || Err(io::ErrorKind::StorageFull.into());
        for _ in 0..3 {
            queue.add(line("lost"), Room::Ordinary);
            // The loss is not mentioned while every line is lost.
            expect_line(&queue, "lost");
            queue.written(4, &full());
        }
        assert!(queue.flush(Duration::ZERO), "there is nothing to wait for");
        queue.add(line("kept"), Room::Ordinary);
        expect_line(&queue, "kept");
        assert!(!queue.flush(Duration::ZERO), "it is being written");
        queue.written(4, &Ok(()));
        expect_mention(&queue, 3);
        assert_eq!(queue.dropped(), 3);
    }

    #[test]
    fn a_flush_waits_for_the_last_line() {
        let queue = Arc::new(Queue::default());
        queue.add(line("first"), Room::Ordinary);
        queue.add(line("last"), Room::Ordinary);
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..2).for_each(|_| write_one(&queue))
        });
        assert!(queue.flush(Duration::from_secs(60)));
        writer.join().unwrap();
    }
}
