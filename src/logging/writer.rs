//! The one thread that writes the log, and the only one that waits for its reader.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::journal::Journald;
use super::queue::{Queue, Task};
use super::sink::Sink;

const NAME: &str = "log";

/// The longest that a start waits for the journal. If it does not read, it gets the lines later.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Starts it. It ends with the process.
pub(super) fn spawn(queue: Arc<Queue>, sink: Sink) -> io::Result<()> {
    thread::Builder::new().name(NAME.into()).spawn(move || write(&queue, sink))?;
    Ok(())
}

/// Starts it for the journal, if the journal can be reached.
///
/// # Errors
/// No process listens there, or the thread cannot be started.
pub(super) fn spawn_for_journal(queue: Arc<Queue>) -> io::Result<()> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name(NAME.into()).spawn(move || match Journald::connect() {
        Ok(journal) => {
            tell.send(Ok(())).ok();
            write(&queue, Sink::Journal(Box::new(journal)))
        }
        // Another sink, with another thread, takes over.
        Err(error) => drop(tell.send(Err(error))),
    })?;
    match told.recv_timeout(MAX_WAIT) {
        Ok(connected) => connected,
        // The journal listens, but does not read for now.
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => {
            Err(io::Error::other("the thread that writes the log has panicked"))
        }
    }
}

fn write(queue: &Queue, mut sink: Sink) -> ! {
    loop {
        match queue.next() {
            Task::Write(entry) => {
                let result = sink.write(&entry);
                // An error is visible only in the number of dropped lines.
                queue.written(entry.size(), &result);
            }
            // Through the queue, like any other event, so that it looks like one.
            Task::Mention(lines) => {
                tracing::warn!(
                    lines,
                    "{lines} log lines were dropped: the reader of the log was too slow or failed"
                );
                queue.mentioned();
            }
        }
    }
}
