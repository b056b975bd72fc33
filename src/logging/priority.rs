//! Priorities of lines on standard error, for the journal.
//!
//! Messages before the log begins, and those of commands without a log, are plain text. The journal gives such a line
//! priority 6 (info) unless it begins with a priority such as `<3>`; see sd-daemon(3). So lines begin with their
//! priority if standard error is the journal, and only then.

use std::fmt::Display;
use std::io::{self, Write as _};

use tracing::Level;

/// A priority of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody must act.
    Error = 3,
    /// Somebody should look.
    Warning = 4,
    /// A state has changed.
    Notice = 5,
    /// News.
    Info = 6,
    /// For developers.
    Debug = 7,
}

impl Priority {
    /// As in tracing-journald, for the events that reach the journal with their fields.
    pub(super) fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warning,
            Level::INFO => Self::Notice,
            Level::DEBUG => Self::Info,
            _ => Self::Debug,
        }
    }

    /// The text as the journal reads it: each line is an entry of its own there.
    pub(super) fn before_each_line(self, text: &str) -> String {
        let prefix = self as u8;
        text.split_inclusive('\n').map(|line| format!("<{prefix}>{line}")).collect()
    }
}

/// Writes a line, or several, to standard error, with its priority if that is the journal.
///
/// # Errors
/// Returns the error of the system. Without standard error there is no other place to report it.
pub fn write(priority: Priority, text: impl Display) -> io::Result<()> {
    writeln!(io::stderr(), "{}", as_read(priority, &text.to_string()))
}

/// The text in the form that the reader of standard error expects.
pub(super) fn as_read(priority: Priority, text: &str) -> String {
    if stderr_is_the_journal() { priority.before_each_line(text) } else { text.to_owned() }
}

/// Whether standard error is connected to the journal, detected as in systemd.exec(5): the
/// variable names the stream's device and inode, since a child may have been given another stream.
pub(super) fn stderr_is_the_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_the_priority() {
        assert_eq!(Priority::Error.before_each_line("Error: a\n  b"), "<3>Error: a\n<3>  b");
        assert_eq!(Priority::Warning.before_each_line("one\n"), "<4>one\n");
    }
}
