//! A panic is logged like any other event, since printing it could wait for ever for a reader.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::priority::{self, Priority};

/// The target of these events. The queue reserves room for them.
pub(super) const TARGET: &str = "shibudb::panic";

/// Logs panics from now on, in the whole process.
pub(super) fn log_them() {
    panic::set_hook(Box::new(log));
}

/// Writes panics as errors from now on, in a process without a log.
pub(super) fn write_them() {
    panic::set_hook(Box::new(|panic| {
        let (thread, location, message) = (thread::current(), location(panic), message(panic.payload()));
        let thread = thread.name().unwrap_or("<unnamed>");
        let words = format!("thread '{thread}' panicked at {location}: {message}");
        // Without standard error, the message is lost.
        priority::write(Priority::Error, words).ok();
    }));
}

fn location(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map(ToString::to_string).unwrap_or_default()
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let message = message(panic.payload());
    let location = location(panic);
    // Taken only if RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(target: TARGET, thread, location,
            "thread '{thread}' panicked at {location}: {message}\n{backtrace}");
    } else {
        tracing::error!(target: TARGET, thread, location,
            "thread '{thread}' panicked at {location}: {message}");
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// Set for the process that panics.
    const INSIDE: &str = "SHIBUDB_TEST_EARLY_PANIC";

    /// In a process of its own, since a hook is the whole process'.
    #[test]
    fn an_early_panic_has_its_priority_where_the_journal_reads_standard_error() {
        if std::env::var_os(INSIDE).is_some() {
            crate::logging::mark_early_panics();
            panic!("one line\nand another");
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("stderr");
        for is_journal in [true, false] {
            let stderr = File::create(&path).unwrap();
            let stat = stderr.metadata().unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            let test = concat!(
                "logging::panics::tests::",
                "an_early_panic_has_its_priority_where_the_journal_reads_standard_error"
            );
            command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").env_remove("JOURNAL_STREAM");
            if is_journal {
                command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
            }
            assert!(!command.stdout(Stdio::null()).stderr(stderr).status().unwrap().success());
            let said = std::fs::read_to_string(&path).unwrap();
            let prefix = if is_journal { "<3>" } else { "" };
            let line = said.lines().find(|line| line.contains("panicked at ")).unwrap();
            assert!(line.trim_start().starts_with(&format!("{prefix}thread '")), "{said}");
            assert!(said.contains(&format!("\n{prefix}and another\n")), "{said}");
        }
    }

    #[test]
    fn both_kinds_of_message_are_found() {
        assert_eq!(message(&"of a literal"), "of a literal");
        assert_eq!(message(&format!("of {}", 1)), "of 1");
        assert_eq!(message(&7), "no message");
    }
}
