//! Progress of slow work, on standard error: on a terminal a line that is redrawn, elsewhere a
//! line every few seconds. Short work prints nothing.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes no longer shows no progress.
const SOON: Duration = Duration::from_secs(1);

/// The time between two lines without a terminal.
const PAUSE: Duration = Duration::from_secs(5);

/// The progress of some work. Dropping it clears the line on a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    style: &'static str,
    pace: Pace,
}

impl Progress {
    /// For work of this many bytes, if that is known. `style` is a template of indicatif.
    pub(super) fn new(bytes: Option<u64>, style: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden());
        Self { bar, style, pace: Pace::new(Instant::now()) }
    }

    /// Adds this many completed bytes.
    pub(super) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Shows `message`, or writes `line`, if it is time.
    pub(super) fn tell(&mut self, message: impl Display, line: impl FnOnce(&ProgressBar) -> String) {
        if !self.pace.is_late(Instant::now()) {
            return;
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(message.to_string());
            return;
        }
        let terminal = ProgressDrawTarget::stderr();
        if !terminal.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template(self.style) {
                self.bar.set_style(style);
            }
            self.bar.set_message(message.to_string());
            self.bar.set_draw_target(terminal);
            self.bar.tick();
        } else if self.pace.is_due(Instant::now()) {
            writeln!(io::stderr(), "{}", line(&self.bar)).ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// When to print something.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    told: Option<Instant>,
}

impl Pace {
    fn new(begun: Instant) -> Self {
        Self { begun, told: None }
    }

    /// Whether the work takes long enough to be reported.
    fn is_late(&self, now: Instant) -> bool {
        now.duration_since(self.begun) >= SOON
    }

    /// Whether it is time for a line; the next is after a pause.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.is_late(now) && self.told.is_none_or(|told| now.duration_since(told) >= PAUSE);
        if due {
            self.told = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_after_a_second_and_come_every_five() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let due: Vec<_> = (0..200_u64)
            .map(|tenth| 100 * tenth)
            .filter(|&milliseconds| pace.is_due(begun + Duration::from_millis(milliseconds)))
            .collect();
        assert_eq!(due, [1000, 6000, 11_000, 16_000]);
    }
}
