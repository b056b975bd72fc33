//! The problems in the text of a config file, in words that help to fix it.

use std::fmt;

use super::{Conflict, Key};

/// The most problems reported for one file; the rest are only counted.
const MOST: usize = 50;

/// The most characters of the file that one message repeats.
const QUOTED: usize = 40;

/// A place in the file. Both count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column in that line.
    pub column: usize,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it begins.
    pub position: Position,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing but white space: more likely cut off than meant.
    #[error("the file is empty; expected settings")]
    Empty,
    /// The bytes are not text.
    #[error("not UTF-8: unexpected byte 0x{byte:02x}")]
    NotUtf8 {
        /// The first byte that does not fit.
        byte: u8,
    },
    /// The text is not TOML.
    #[error("{message}; the line reads {line}")]
    Syntax {
        /// The parser's message.
        message: String,
        /// The line, quoted, or its beginning.
        line: String,
    },
    /// A key, or a section, that does not exist.
    #[error("unknown {what} {}{hint}", quoted(name), what = if *section { "section" } else { "key" })]
    Unknown {
        /// The name as it stands in the file.
        name: String,
        /// Whether it is a section.
        section: bool,
        /// What the user may have meant.
        hint: Hint,
    },
    /// A section's name with a value.
    #[error("{name}: expected a section, written [{name}], found {found}")]
    NotASection {
        /// The section.
        name: &'static str,
        /// The value in its place.
        found: String,
    },
    /// A value of the wrong type, or outside its range.
    #[error("{key}: expected {expected}, found {found}")]
    Value {
        /// The setting.
        key: Key,
        /// The valid values.
        expected: String,
        /// The value in the file.
        found: String,
    },
    /// A text value without quotes.
    #[error("{key}: text is written in quotes: {} = \"{value}\"", key.leaf())]
    NotQuoted {
        /// The setting.
        key: Key,
        /// The value in the file.
        value: String,
    },
    /// A connection limit of zero or less, in the words of the founding document.
    #[error("{}: connection limit must be positive, found {found}", Key::MaxConnections)]
    LimitNotPositive {
        /// The value in the file.
        found: String,
    },
    /// Settings that contradict each other.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// What an unknown name may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A similar name in the same place.
    DidYouMean(&'static str),
    /// The right name in the wrong place.
    BelongsElsewhere(Key),
    /// A similar name in another place.
    DidYouMeanElsewhere(Key),
    /// No name is similar: all names of this place.
    Known(Vec<&'static str>),
}

/// All problems of a file, in its order. Displayed one problem per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    told: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// Makes this from the findings, in the order of the file; `None` if there are none.
    ///
    /// Only the reported ones are worded, since that takes time: a file can have many.
    pub(super) fn new<T>(found: Vec<T>, tell: impl FnMut(T) -> Problem) -> Option<Self> {
        let omitted = found.len().saturating_sub(MOST);
        let told: Vec<_> = found.into_iter().take(MOST).map(tell).collect();
        (!told.is_empty()).then_some(Self { told, omitted })
    }

    /// The problems, from the top of the file to its end; at most 50.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.told.iter()
    }

    /// How many problems [`Problems::iter`] leaves out.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Writes one line per problem, each starting with `prefix` and the position.
    pub(super) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        mut prefix: impl FnMut(&mut fmt::Formatter<'_>, Position) -> fmt::Result,
    ) -> fmt::Result {
        for (index, Problem { position, reason }) in self.told.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            prefix(f, *position)?;
            write!(f, ": {reason}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { told: vec![problem], omitted: 0 }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |f, position| position.fmt(f))
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.reason)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidYouMean(name) => write!(f, "; did you mean \"{name}\"?"),
            Self::BelongsElsewhere(key) => match key.section() {
                Some(section) => write!(f, "; it belongs in [{section}]"),
                None => f.write_str("; it belongs at the top of the file, before any section"),
            },
            Self::DidYouMeanElsewhere(key) => match key.section() {
                Some(section) => write!(f, "; did you mean \"{}\" in [{section}]?", key.leaf()),
                None => write!(f, "; did you mean \"{key}\" at the top of the file, before any section?"),
            },
            Self::Known(names) => write!(f, "; known here: {}", names.join(", ")),
        }
    }
}

/// Text of the file for a message: quoted, control characters escaped, and shortened.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// The same without quotes, for text that had none.
pub(super) fn unquoted(text: &str) -> String {
    let quoted = quoted(text);
    match quoted.strip_suffix("...") {
        Some(cut) => cut.trim_matches('"').to_owned() + "...",
        None => quoted.trim_matches('"').to_owned(),
    }
}
