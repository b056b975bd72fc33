//! The manual pages' text about commands and options, taken from the command line itself.

use std::collections::BTreeMap;

use clap::{Arg, Command};

/// Each command below this one as it is typed.
pub(crate) fn synopsis(parent: &Command) -> String {
    let words = |command: &Command| {
        let words =
            arguments(command).map(|word| format!(" \\fI{}\\fR", escaped(&word).replace(['[', ']'], "")));
        let words = arguments(command).zip(words);
        words
            .map(|(word, shown)| if word.starts_with('[') { format!(" [{}]", shown.trim()) } else { shown })
            .collect()
    };
    let line = |command: &Command| {
        let words: String = words(command);
        let options = if command.get_arguments().any(is_option) { " [\\fIOPTIONS\\fR]" } else { "" };
        format!("\\fB{} {}\\fR{words}{options}\n", parent.get_name(), command.get_name())
    };
    shown(parent).map(line).collect::<Vec<_>>().join(".br\n")
}

/// The commands below this one, each with its arguments. An option of several commands is described once, at the
/// end; an option that this command has for all of them is described elsewhere.
pub(crate) fn commands(parent: &Command) -> String {
    let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for command in shown(parent) {
        for option in own_options(parent, command) {
            owners.entry(option_entry(option)).or_default().push(command.get_name());
        }
    }
    let is_shared = |entry: &String| owners.get(entry).is_some_and(|owners| owners.len() > 1);
    let mut page = String::new();
    for command in shown(parent) {
        let words: String = arguments(command).map(|word| format!(" {}", escaped(&word))).collect();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page += &format!(".SS \"{}{words}\"\n{}\n", command.get_name(), sentence(&about));
        page.extend(command.get_positionals().filter(|arg| !arg.is_hide_set()).map(positional_entry));
        page.extend(own_options(parent, command).map(option_entry).filter(|entry| !is_shared(entry)));
        if command.has_subcommands() {
            page += &format!(".PP\nSee\n.BR {}\\-{} (1).\n", parent.get_name(), command.get_name());
        }
    }
    let shared: Vec<_> = owners.iter().filter(|(entry, _)| is_shared(entry)).collect();
    if !shared.is_empty() {
        page += ".SS \"Options of several commands\"\n";
    }
    for (entry, owners) in shared {
        let (last, others) = owners.split_last().unwrap();
        let names = format!("{} and {last}", others.join(", "));
        page += &format!("{entry}.br\nFor {names}.\n");
    }
    page
}

/// The options that a command has for all below it.
pub(crate) fn options(parent: &Command) -> String {
    parent.get_arguments().filter(|arg| is_option(arg) && arg.is_global_set()).map(option_entry).collect()
}

/// The visible commands below this one.
pub(crate) fn shown(parent: &Command) -> impl Iterator<Item = &Command> {
    parent.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// The options of a command that are its own, and not for all below `parent`.
fn own_options<'a>(parent: &'a Command, command: &'a Command) -> impl Iterator<Item = &'a Arg> {
    let of_parent = |arg: &Arg| {
        parent.get_arguments().any(|other| other.is_global_set() && other.get_id() == arg.get_id())
    };
    // Options for its own subcommands are described with these.
    command.get_arguments().filter(move |arg| is_option(arg) && !of_parent(arg) && !arg.is_global_set())
}

/// Whether this is a visible option.
pub(crate) fn is_option(arg: &Arg) -> bool {
    arg.get_long().is_some() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

/// The arguments after the name of a command, in brackets if optional.
fn arguments(command: &Command) -> impl Iterator<Item = String> {
    let command_below = command.has_subcommands().then(|| "COMMAND".to_owned());
    let words =
        command.get_positionals().filter(|arg| !arg.is_hide_set()).map(|arg| match arg.is_required_set() {
            true => name(arg),
            false => format!("[{}]", name(arg)),
        });
    words.chain(command_below)
}

fn name(arg: &Arg) -> String {
    arg.get_value_names().map_or_else(|| arg.get_id().to_string(), |names| names.join(" "))
}

fn option_entry(arg: &Arg) -> String {
    let name = escaped(&format!("--{}", arg.get_long().unwrap()));
    let title = match arg.get_value_names().filter(|_| arg.get_action().takes_values()) {
        Some(values) => format!(".BI {name} \" {}\"", escaped(&values.join(" "))),
        None => format!(".B {name}"),
    };
    format!(".TP\n{title}\n{}", meaning(arg))
}

fn positional_entry(arg: &Arg) -> String {
    format!(".TP\n.I {}\n{}", escaped(&name(arg)), meaning(arg))
}

/// The meaning of an argument, its permitted values, and its default.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // If the default depends on something, the help text itself describes it.
    let (help, told) = match help.strip_suffix(']').and_then(|help| help.split_once(" [default: ")) {
        Some((help, default)) => (help.to_owned(), Some(default.to_owned())),
        None => (help, None),
    };
    let mut text = sentence(&help) + "\n";
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        text += &format!("One of {}.\n", escaped(&values.join(", ")));
    }
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let given = (!arg.is_hide_default_value_set()).then(|| defaults.collect::<Vec<_>>().join(" "));
    if let Some(default) = told.or(given.filter(|default| !default.is_empty())) {
        text += &format!("Default: {}.\n", escaped(&default));
    }
    text
}

/// A text of one line for a manual page; text in backticks becomes bold.
pub(crate) fn sentence(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(number, part)| match number % 2 {
        0 => escaped(part),
        _ => format!("\\fB{}\\fR", escaped(part)),
    });
    let text: String = parts.collect();
    if text.ends_with(['.', ':']) { text } else { text + "." }
}

/// A text with all formatter commands escaped.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('"', "\\(dq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
