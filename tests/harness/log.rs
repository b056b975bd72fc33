//! What a process writes on standard error, line by line, as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::PATIENCE;

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

impl Log {
    /// Reads on until the end, so that the writer never waits for a reader.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let reader = log.clone();
        std::thread::spawn(move || {
            let (lines, changed) = &*reader.shared;
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                lines.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                changed.notify_all();
            }
            lines.lock().unwrap().ended = true;
            changed.notify_all();
        });
        log
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
            let left = PATIENCE.saturating_sub(start.elapsed());
            if lines.ended || left.is_zero() {
                let said = lines.lines.join("\n");
                drop(lines);
                panic!("the log never said {text:?}, but:\n{said}");
            }
            lines = changed.wait_timeout(lines, left).unwrap().0;
        }
    }
}
