//! The standard error of a process, line by line.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::MAX_WAIT;

/// The journal's socket.
const JOURNAL: &str = "/run/systemd/journal/socket";

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
    /// Reading is paused, so that the pipe eventually becomes full.
    paused: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

impl Log {
    /// Reads until the end of file, so that the writer never waits for a reader.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let reader = log.clone();
        std::thread::spawn(move || {
            let (lines, changed) = &*reader.shared;
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let mut lines = lines.lock().unwrap();
                lines.lines.push(String::from_utf8_lossy(&line).into_owned());
                changed.notify_all();
                drop(changed.wait_while(lines, |lines| lines.paused).unwrap());
            }
            lines.lock().unwrap().ended = true;
            changed.notify_all();
        });
        log
    }

    /// Stops reading, or continues. A read that already waits for a line still takes that line.
    pub(crate) fn pause(&self, paused: bool) {
        let (lines, changed) = &*self.shared;
        lines.lock().unwrap().paused = paused;
        changed.notify_all();
    }

    pub(crate) fn text(&self) -> String {
        self.shared.0.lock().unwrap().lines.join("\n")
    }

    /// The first line that contains `text`, once there is one.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let (lines, changed) = &*self.shared;
        let start = Instant::now();
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(line) = lines.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = MAX_WAIT.saturating_sub(start.elapsed());
            if lines.ended || left.is_zero() {
                let said = lines.lines.join("\n");
                drop(lines);
                panic!("the log never said {text:?}, but:\n{said}");
            }
            lines = changed.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// The socket of the journal, simulated by the test. It receives the fields of entries.
pub(crate) struct Journal(UnixDatagram);

impl Journal {
    /// Listens in place of a journal. Only in a separate sandbox, which has none.
    pub(crate) fn bind() -> Self {
        fs::create_dir_all("/run/systemd/journal").unwrap();
        // Left over from an earlier server.
        fs::remove_file(JOURNAL).ok();
        Self(UnixDatagram::bind(JOURNAL).unwrap())
    }
}

impl Read for Journal {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // An empty datagram only checks for a listener; it is not the end.
        loop {
            let read = self.0.recv(buffer)?;
            if read > 0 {
                return Ok(read);
            }
        }
    }
}
