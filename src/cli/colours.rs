//! Colours for people: on a terminal, unless the environment turns them off.
//!
//! Text that is not painted goes out byte for byte, so nothing that a script reads changes.

use std::fmt::Display;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::names::shown_lines;

/// Headings.
pub(super) const HEADING: Style = Style::new().bold();
/// For what deserves attention.
pub(super) const AMBER: Style = AnsiColor::Yellow.on_default();
/// For what is full, refused or broken.
pub(super) const RED: Style = AnsiColor::Red.on_default();
/// Where an error begins.
const ERROR: Style = RED.bold();
/// Where a warning begins.
const WARNING: Style = AMBER.bold();

/// Whether colours are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    on: bool,
}

impl Colours {
    /// No colours.
    pub const OFF: Self = Self { on: false };

    /// Those of a stream: a terminal has colours. `NO_COLOR`, `CLICOLOR=0` and `TERM=dumb` turn them off,
    /// `CLICOLOR_FORCE` turns them on for any stream.
    pub fn of(stream: &impl RawStream) -> Self {
        Self { on: AutoStream::choice(stream) != ColorChoice::Never }
    }

    /// Whether they are on.
    pub(super) fn are_on(self) -> bool {
        self.on
    }

    /// The text in this style, if there are colours.
    pub(super) fn paint(self, style: Style, text: impl Display) -> String {
        if self.on && !style.is_plain() { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// The line or lines in this style. The line breaks stay outside of it.
    pub(super) fn paint_lines(self, style: Style, text: &str) -> String {
        let painted = |line: &str| match line.strip_suffix('\n') {
            Some(line) => self.paint(style, line) + "\n",
            None => self.paint(style, line),
        };
        text.split_inclusive('\n').map(painted).collect()
    }
}

/// The line for an error, for standard error. It may quote a server or a file.
pub(super) fn error(message: impl Display) -> String {
    let message = message.to_string();
    format!("{} {}", Colours::of(&std::io::stderr()).paint(ERROR, "Error:"), shown_lines(&message))
}

/// The line for a warning, for standard error.
pub(super) fn warning(message: impl Display) -> String {
    format!("{} {message}", Colours::of(&std::io::stderr()).paint(WARNING, "Warning:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_text_stays_as_it_is() {
        assert_eq!(Colours::OFF.paint(RED, "a\u{1b}[0m"), "a\u{1b}[0m");
        assert_eq!(Colours::OFF.paint_lines(RED, "a\n\nb"), "a\n\nb");
    }

    #[test]
    fn line_breaks_are_not_painted() {
        let on = Colours { on: true };
        assert_eq!(on.paint_lines(HEADING, "a\nb\n"), "\u{1b}[1ma\u{1b}[0m\n\u{1b}[1mb\u{1b}[0m\n");
        assert_eq!(on.paint(Style::new(), "a"), "a");
    }
}
