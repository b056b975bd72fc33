//! Walks the text of a config file once and collects everything that is wrong with it.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::form::{Invalid, describe};
use super::problem::{Position, Problem, Problems, Reason, quoted, unquoted};
use super::spelling::{hint, keys_of, sections};
use super::{Config, Conflict, Key};

/// The contents of a valid config file. The default is that of a file without settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The settings: the file's, and defaults for the rest.
    pub config: Config,
    /// Which settings the file names.
    pub set: BTreeSet<Key>,
}

/// Reads the text of a config file.
///
/// # Errors
/// All its [`Problems`] at once; text that is not TOML has one, its first.
pub fn parse(text: &[u8]) -> Result<Parsed, Problems> {
    let text = decode(text)?;
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(text.len(), |span| span.start);
        Problem { position: position(text, offset), reason: syntax(text, offset, error.message()) }
    })?;
    let mut walk = Walk::default();
    walk.top(table.get_ref());
    walk.conflicts();
    walk.finish(text)
}

/// The bytes as text, if it is worth parsing.
fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        let valid = String::from_utf8_lossy(valid);
        let byte = rest.first().copied().unwrap_or_default();
        Problem { position: position(&valid, valid.len()), reason: Reason::NotUtf8 { byte } }
    })?;
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(Problem { position: Position { line: 1, column: 1 }, reason: Reason::Empty });
    }
    Ok(text)
}

/// The results so far. Positions are byte offsets until the end.
#[derive(Default)]
struct Walk<'t> {
    config: Config,
    /// The position of each setting's value.
    set: Vec<(Key, usize)>,
    problems: Vec<(usize, Finding<'t>)>,
    /// Settings whose value was refused, and that hold their default meanwhile.
    refused: BTreeSet<Key>,
}

/// A problem before it is worded.
enum Finding<'t> {
    /// Looking for a hint takes time, and a file can hold a hundred thousand of these.
    Unknown {
        parent: Option<&'static str>,
        name: &'t str,
        section: bool,
    },
    Told(Reason),
}

impl Finding<'_> {
    fn tell(self) -> Reason {
        match self {
            Self::Unknown { parent, name, section } => {
                Reason::Unknown { name: name.to_owned(), section, hint: hint(parent, section, name) }
            }
            Self::Told(reason) => reason,
        }
    }
}

impl<'t> Walk<'t> {
    fn top(&mut self, table: &'t DeTable<'_>) {
        for (name, value) in table {
            let Some(section) = sections().find(|section| section == name.get_ref()) else {
                self.entry(None, name, value);
                continue;
            };
            match value.get_ref() {
                DeValue::Table(table) => {
                    for (name, value) in table {
                        self.entry(Some(section), name, value);
                    }
                }
                other => {
                    let found = describe(other);
                    self.problem(&value.span(), Reason::NotASection { name: section, found });
                }
            }
        }
    }

    fn entry(
        &mut self,
        parent: Option<&'static str>,
        name: &'t Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let text = name.get_ref().as_ref();
        let Some(key) = keys_of(parent).find(|key| key.leaf() == text) else {
            let section = parent.is_none() && value.get_ref().is_table();
            self.problems.push((name.span().start, Finding::Unknown { parent, name: text, section }));
            return;
        };
        self.set.push((key, value.span().start));
        if let Err(invalid) = key.entry().read(&mut self.config, value.get_ref()) {
            self.refused.insert(key);
            let found = describe(value.get_ref());
            let reason = match invalid {
                Invalid::Form => Reason::Value { key, expected: key.expected(), found },
                Invalid::Expected(expected) => Reason::Value { key, expected: expected.to_owned(), found },
                Invalid::LimitNotPositive => Reason::LimitNotPositive { found },
            };
            self.problem(&value.span(), reason);
        }
    }

    /// Adds the conflicts between settings. A refused value causes none.
    fn conflicts(&mut self) {
        let involved = [Key::Bind, Key::Port, Key::ManagementBind, Key::ManagementPort, Key::TokenFile];
        if involved.iter().any(|key| self.refused.contains(key)) {
            return;
        }
        for conflict in self.config.validate().err().unwrap_or_default() {
            let blamed = match conflict {
                Conflict::ManagementOpenToAll { .. } => Key::ManagementBind,
                Conflict::ManagementPortTooHigh { .. } => Key::Port,
                Conflict::ManagementPortTaken { .. } => Key::ManagementPort,
            };
            let place = self.set.iter().find(|(key, _)| *key == blamed).map_or(0, |(_, offset)| *offset);
            self.problems.push((place, Finding::Told(conflict.into())));
        }
    }

    fn problem(&mut self, span: &Range<usize>, reason: Reason) {
        self.problems.push((span.start, Finding::Told(reason)));
    }

    fn finish(self, text: &str) -> Result<Parsed, Problems> {
        let mut problems = self.problems;
        problems.sort_by_key(|(offset, _)| *offset);
        match Problems::new(problems, |(offset, finding)| Problem {
            position: position(text, offset),
            reason: finding.tell(),
        }) {
            Some(problems) => Err(problems),
            None => {
                let set = self.set.into_iter().map(|(key, _)| key).collect();
                Ok(Parsed { config: self.config, set })
            }
        }
    }
}

/// The problem of text that is not TOML. For a value, what its setting expects; else the parser's message with the
/// line in question, because the parser names neither keys nor values.
fn syntax(text: &str, offset: usize, message: &str) -> Reason {
    let start = line_start(text, offset);
    let line = text[start..].lines().next().unwrap_or_default();
    bare_value(&text[..start], line, offset - start)
        .unwrap_or_else(|| Reason::Syntax { message: message.to_owned(), line: quoted(line.trim()) })
}

/// The problem of a value that is not TOML, as in `max_connections = many`, in a line after the text `before`. Whether
/// quotes would help depends on the setting.
fn bare_value(before: &str, line: &str, offset: usize) -> Option<Reason> {
    let (name, value) = line.split_once('=')?;
    if offset <= name.len() {
        return None;
    }
    let value = value.split('#').next().unwrap_or_default().trim();
    if value.starts_with(['"', '\'', '[', '{']) {
        return None;
    }
    let key = key_named(section_after(before), name.trim())?;
    let as_text = DeValue::String(value.into());
    Some(match key.entry().read(&mut Config::default(), &as_text) {
        _ if value.is_empty() => Reason::Value { key, expected: key.expected(), found: "nothing".to_owned() },
        Err(_) => Reason::Value { key, expected: key.expected(), found: unquoted(value) },
        Ok(()) => Reason::NotQuoted { key, value: unquoted(value) },
    })
}

/// The section that is open at the end of this text.
fn section_after(text: &str) -> Option<&str> {
    text.lines().rev().find_map(|line| Some(line.trim().strip_prefix('[')?.split_once(']')?.0.trim()))
}

/// The setting of this name in this section, or of this full name at the top.
fn key_named(section: Option<&str>, name: &str) -> Option<Key> {
    Key::ALL.into_iter().find(|key| match section {
        Some(section) => key.section() == Some(section) && key.leaf() == name,
        None => key.name() == name,
    })
}

/// The place of a byte offset. An offset at the very end is behind the last character.
fn position(text: &str, offset: usize) -> Position {
    let start = line_start(text, offset);
    let before = text.get(start..offset).unwrap_or(&text[start..]);
    Position {
        line: text[..start].matches('\n').count() + 1,
        // Editors do not show a byte order mark as a character.
        column: before.trim_start_matches('\u{feff}').chars().count() + 1,
    }
}

/// The start of the line that holds a byte offset.
fn line_start(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.rfind('\n').map_or(0, |newline| newline + 1)
}
