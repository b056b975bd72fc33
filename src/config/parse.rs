//! Walks the text of a config file once and collects everything that is wrong with it.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Hint, Position, Problem, Problems, Reason};
use super::value::{self, Invalid};
use super::{Config, Conflict, Key};

/// The longest name that is compared with the known ones; no typo makes a name longer than this.
const LONGEST_TYPO: usize = 32;

/// What a valid config file said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The settings: the file's, and the defaults where it is silent.
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
        Problem { position: position(text, offset), reason: Reason::Syntax(error.message().to_owned()) }
    })?;
    let mut walk = Walk::default();
    walk.top(table.get_ref());
    walk.conflicts();
    walk.finish(text)
}

/// The bytes as text that is worth parsing.
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

/// What has been gathered so far. Places are byte offsets until the end.
#[derive(Default)]
struct Walk {
    config: Config,
    /// Where each setting's value stands.
    set: Vec<(Key, usize)>,
    problems: Vec<(usize, Reason)>,
    /// Settings whose value was refused, and that hold their default meanwhile.
    refused: BTreeSet<Key>,
}

impl Walk {
    fn top(&mut self, table: &DeTable<'_>) {
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
                    let found = value::describe(other);
                    self.problem(&value.span(), Reason::NotASection { name: section, found });
                }
            }
        }
    }

    fn entry(
        &mut self,
        section: Option<&'static str>,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let text = name.get_ref().as_ref();
        let Some(key) = keys_of(section).find(|key| key.leaf() == text) else {
            let is_section = section.is_none() && value.get_ref().is_table();
            let hint = hint(section, is_section, text);
            let reason = Reason::Unknown { name: text.to_owned(), section: is_section, hint };
            self.problem(&name.span(), reason);
            return;
        };
        self.set.push((key, value.span().start));
        if let Err(invalid) = value::apply(&mut self.config, key, value.get_ref()) {
            self.refused.insert(key);
            let found = value::describe(value.get_ref());
            let reason = match invalid {
                Invalid::Expected(expected) => Reason::Value { key, expected, found },
                Invalid::LimitNotPositive => Reason::LimitNotPositive { found },
            };
            self.problem(&value.span(), reason);
        }
    }

    /// A refused value stands for nothing, so it is not held against the others.
    fn conflicts(&mut self) {
        let involved = [Key::Bind, Key::Port, Key::ManagementBind, Key::ManagementPort];
        if involved.iter().any(|key| self.refused.contains(key)) {
            return;
        }
        for conflict in self.config.validate().err().unwrap_or_default() {
            let blamed = match conflict {
                Conflict::ManagementPortTooHigh { .. } => Key::Port,
                Conflict::ManagementPortTaken { .. } => Key::ManagementPort,
            };
            let place = self.set.iter().find(|(key, _)| *key == blamed).map_or(0, |(_, offset)| *offset);
            self.problems.push((place, conflict.into()));
        }
    }

    fn problem(&mut self, span: &Range<usize>, reason: Reason) {
        self.problems.push((span.start, reason));
    }

    fn finish(self, text: &str) -> Result<Parsed, Problems> {
        let mut problems = self.problems;
        problems.sort_by_key(|(offset, _)| *offset);
        match Problems::new(problems, |offset| position(text, offset)) {
            Some(problems) => Err(problems),
            None => {
                let set = self.set.into_iter().map(|(key, _)| key).collect();
                Ok(Parsed { config: self.config, set })
            }
        }
    }
}

/// The sections, in the order of the file.
fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = None;
    Key::ALL
        .into_iter()
        .filter_map(Key::section)
        .filter(move |section| last.replace(*section) != Some(*section))
}

/// The settings of one section, or of the top of the file.
fn keys_of(section: Option<&'static str>) -> impl Iterator<Item = Key> {
    Key::ALL.into_iter().filter(move |key| key.section() == section)
}

/// What may have been meant by `name`: the same name elsewhere, else a near one here, else a near one elsewhere.
fn hint(section: Option<&'static str>, is_section: bool, name: &str) -> Hint {
    let here = || {
        let leaves = (!is_section).then(|| keys_of(section).map(Key::leaf));
        let sections = section.is_none().then(sections).filter(|_| is_section);
        leaves.into_iter().flatten().chain(sections.into_iter().flatten())
    };
    let elsewhere = || Key::ALL.into_iter().filter(|key| !is_section && key.section() != section);
    if let Some(key) = elsewhere().find(|key| key.leaf() == name) {
        return Hint::BelongsElsewhere(key);
    }
    if let Some(near) = nearest(name, here(), |near| near) {
        return Hint::DidYouMean(near);
    }
    if let Some(key) = nearest(name, elsewhere(), Key::leaf) {
        return Hint::DidYouMeanElsewhere(key);
    }
    Hint::Known(here().collect())
}

/// The candidate that is spelt most like `name`, if one is spelt nearly so.
fn nearest<T: Copy>(
    name: &str,
    among: impl Iterator<Item = T>,
    spelt: impl Fn(T) -> &'static str,
) -> Option<T> {
    // Comparing costs time in proportion to the length, which the file chooses.
    if name.len() > LONGEST_TYPO {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    among
        .map(|candidate| (strsim::damerau_levenshtein(&name, spelt(candidate)), candidate))
        // One mistake in three letters is a typo, more is another word.
        .filter(|(distance, candidate)| *distance <= (spelt(*candidate).len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The place of a byte offset. An offset at the very end is behind the last character.
fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}
