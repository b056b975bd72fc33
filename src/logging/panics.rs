//! A panic is logged like any other event, since to print it could wait for ever for a reader.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::priority::{self, Priority};

/// The target of these events. The queue has room for them when it has none for others.
pub(super) const TARGET: &str = "shibudb::panic";

/// From now on, in the whole process.
pub(super) fn log_them() {
    panic::set_hook(Box::new(log));
}

/// From now on, in a process without a log, panics are written as errors.
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
    use super::*;

    #[test]
    fn both_kinds_of_message_are_found() {
        assert_eq!(message(&"of a literal"), "of a literal");
        assert_eq!(message(&format!("of {}", 1)), "of 1");
        assert_eq!(message(&7), "no message");
    }
}
