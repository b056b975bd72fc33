//! Errors for unknown words on the command line: the word, a suggestion, and the valid words.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::nearest;

/// The message for an error of the parser, without the prefix "error: ".
///
/// `typed` are the arguments without the name of the program.
pub(super) fn message(error: &clap::Error, mut root: Command, typed: &[String]) -> String {
    root.build();
    let wrong = word(error);
    let before = typed.iter().take_while(|typed| Some(typed.as_str()) != wrong);
    let (parent, command) = meant(&root, before);
    let words = match (error.kind(), wrong) {
        (ErrorKind::InvalidSubcommand, Some(word)) => Some(unknown(command, word)),
        (ErrorKind::UnknownArgument, Some(word)) if command.has_subcommands() && !word.starts_with('-') => {
            Some(unknown(command, word))
        }
        (ErrorKind::ValueValidation, Some(word))
            if takes_port(command) && is_positional(error) && is_name(word) =>
        {
            Some(unknown(command, word))
        }
        (ErrorKind::UnknownArgument, Some(word)) if parent.is_some_and(takes_port) && is_number(word) => {
            let name = command.get_name();
            let port_was_given =
                typed.iter().take_while(|typed| *typed != name).any(|typed| is_number(typed));
            (!port_was_given)
                .then(|| format!("the port comes before the command: shibudb manager {word} {name}"))
        }
        _ => None,
    };
    words.unwrap_or_else(|| {
        let text = error.to_string();
        text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
    })
}

/// A line that names the unknown command, and a line with all commands.
pub(super) fn unknown_command(word: &str, names: &[&str], elsewhere: Option<String>) -> String {
    let names_of = || names.iter().copied();
    let near = nearest(word, names_of(), |name| name).or_else(|| begins_alike(word, names_of()));
    // Prefer the same word at another level to a similar word at this one.
    let hint = elsewhere.or_else(|| near.map(|near| format!("'{near}'")));
    let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
    format!("unknown command '{word}'{hint}\n\nCommands: {}", names.join(", "))
}

/// How to type a command of `shibudb manager`, if there is one of this name.
pub(super) fn of_manager(word: &str) -> Option<String> {
    let root = super::command();
    root.find_subcommand("manager")?.find_subcommand(word).map(|_| format!("`shibudb manager PORT {word}`"))
}

fn unknown(command: &Command, word: &str) -> String {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    let names: Vec<_> = shown.map(Command::get_name).collect();
    let elsewhere = if takes_port(command) { of_root(word) } else { of_manager(word) };
    let usage = command.clone().render_usage();
    format!("{}\n\n{usage}\n\nFor more information, try '--help'.", unknown_command(word, &names, elsewhere))
}

/// How to type a command of the program itself, if there is one of this name.
fn of_root(word: &str) -> Option<String> {
    super::command().find_subcommand(word).map(|_| format!("`shibudb {word}`"))
}

/// A command that the word begins with, or that begins with the word.
fn begins_alike<'a>(word: &str, mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    names.find(|name| word.len() >= 3 && (name.starts_with(&word) || word.starts_with(name)))
}

/// The last command that was named, and the one before it.
fn meant<'c, 't>(
    root: &'c Command,
    typed: impl Iterator<Item = &'t String>,
) -> (Option<&'c Command>, &'c Command) {
    typed.fold((None, root), |(parent, command), word| match command.find_subcommand(word) {
        Some(sub) => (Some(command), sub),
        None => (parent, command),
    })
}

/// Whether the command takes the port of a server before one of its own commands.
fn takes_port(command: &Command) -> bool {
    command.has_subcommands() && command.get_positionals().next().is_some()
}

/// The word that the parser could not use.
fn word(error: &clap::Error) -> Option<&str> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::ValueValidation => ContextKind::InvalidValue,
        _ => ContextKind::InvalidArg,
    };
    match error.get(kind)? {
        ContextValue::String(word) => Some(word),
        _ => None,
    }
}

/// Whether the error is about a positional argument.
fn is_positional(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name.starts_with(['[', '<']))
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
