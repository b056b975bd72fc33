//! Completion for Tab, and when Enter ends a line.

use std::cell::RefCell;
use std::rc::Rc;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::super::client::Client;
use super::super::command::{self, Line};
use crate::auth::{Permission, Role};
use crate::names::shown;

/// Helps with the current line.
pub(super) struct Assistant {
    client: Rc<RefCell<Client>>,
    commands: Vec<String>,
}

impl Assistant {
    pub(super) fn new(client: Rc<RefCell<Client>>) -> Self {
        Self { client, commands: command::names() }
    }

    /// All candidates after these words. `part` is the beginning of the current one.
    fn candidates(&self, before: &[String], part: &str) -> Vec<String> {
        let before: Vec<_> = before.iter().map(String::as_str).collect();
        let fixed = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match before.as_slice() {
            [] | ["help"] => self.commands.clone(),
            ["use" | "delete-space"] => self.spaces(),
            ["create-space", ..] if part.starts_with('-') => fixed(&["--no-wal"]),
            ["update-user-role", _] | ["create-user", _, .., "--role"] => fixed(&Role::ALL.map(Role::name)),
            ["create-user", _, .., "--permission"] => self.permissions(),
            ["create-user", _, ..] => fixed(&["--role", "--permission"]),
            ["update-user-permissions", _, ..] if part.starts_with('-') => fixed(&["--none"]),
            ["update-user-permissions", _, ..] => self.permissions(),
            _ => Vec::new(),
        }
    }

    fn permissions(&self) -> Vec<String> {
        let of = |space: &String| Permission::ALL.map(|access| format!("{space}={access}"));
        self.spaces().iter().flat_map(of).collect()
    }

    /// The current spaces. Empty if the server cannot list them: the command itself will report why.
    fn spaces(&self) -> Vec<String> {
        let mut client = self.client.borrow_mut();
        if client.is_connected() { client.spaces().unwrap_or_default() } else { Vec::new() }
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..pos];
        let (start, before) = last_word(typed);
        let part = unquoted(&typed[start..]);
        let mut candidates = self.candidates(&before, &part);
        candidates.retain(|candidate| candidate.starts_with(&part));
        // A single candidate is complete: the next word may follow.
        let end = if candidates.len() == 1 { " " } else { "" };
        let pair =
            |word: String| Pair { replacement: quoted(&word) + end, display: shown(&word).into_owned() };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match Line::read(context.input()) {
            Line::Unfinished => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

/// The start of the last word, which may be empty, and the words before it.
fn last_word(typed: &str) -> (usize, Vec<String>) {
    let spaces = typed.char_indices().rev().filter(|(_, c)| matches!(c, ' ' | '\t' | '\n'));
    for (at, space) in spaces {
        // A space in quotes or after a backslash is part of a word: then removing it changes the result.
        if let (Some(with), Some(without)) = (command::words(&typed[..=at]), command::words(&typed[..at]))
            && with == without
        {
            return (at + space.len_utf8(), with);
        }
    }
    (0, Vec::new())
}

/// The meaning of a word whose quote may not be closed yet.
fn unquoted(word: &str) -> String {
    ["", "'", "\""]
        .iter()
        .find_map(|end| shell_words::split(&format!("{word}{end}")).ok())
        .and_then(|words| words.into_iter().next())
        .unwrap_or_default()
}

/// Quoted only if necessary: `=` is not special here.
fn quoted(word: &str) -> String {
    match word.rsplit_once('=') {
        Some((space, access)) if shell_words::quote(space) == space => format!("{space}={access}"),
        _ => shell_words::quote(word).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_found_whatever_its_quotes() {
        for (typed, start, words) in [
            ("", 0, &[] as &[&str]),
            ("us", 0, &[]),
            ("use ", 4, &["use"]),
            ("use no", 4, &["use"]),
            ("use 'my no", 4, &["use"]),
            ("use \"my no", 4, &["use"]),
            ("use my\\ no", 4, &["use"]),
            ("put 'a b' c", 10, &["put", "a b"]),
        ] {
            assert_eq!(last_word(typed), (start, words.iter().map(ToString::to_string).collect()), "{typed}");
        }
        assert_eq!(unquoted("'my no"), "my no");
        assert_eq!(unquoted("\"my no"), "my no");
        assert_eq!(unquoted("my\\ no"), "my no");
        assert_eq!(unquoted(""), "");
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted("notes"), "notes");
        assert_eq!(quoted("notes=read"), "notes=read");
        assert_eq!(quoted("my notes=read"), "'my notes=read'");
    }
}
