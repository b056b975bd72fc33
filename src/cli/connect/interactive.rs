//! Commands typed on a terminal: prompt, history, completion.

mod completion;

use std::cell::RefCell;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use directories::BaseDirs;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Behavior, CompletionType, Config, Editor};

use super::client::{Client, ClientError};
use super::command::{self, Command, Line};
use super::prompt::Interrupts;
use super::{CommandError, execute};
use crate::names::{shown, shown_lines};
use crate::owner;
use completion::Assistant;

/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// Prompts for commands until the end. Reports a command that fails and prompts for the next.
pub(super) fn run(client: Client, interrupts: &Interrupts) -> Result<(), String> {
    let config = Config::builder()
        // The prompt goes to the terminal, also when standard output goes elsewhere.
        .behavior(Behavior::PreferTerm)
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .history_ignore_space(true)
        .max_history_size(HISTORY)
        .map_err(text)?
        .build();
    let client = Rc::new(RefCell::new(client));
    let mut editor = Editor::<Assistant, FileHistory>::with_config(config).map_err(text)?;
    editor.set_helper(Some(Assistant::new(Rc::clone(&client))));
    let history = open_history(&mut editor);
    tell(format_args!("Logged in as {}. Type help for help.", shown(client.borrow().username())));
    loop {
        let prompt = prompt(&client.borrow());
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(format!("cannot read from the terminal: {error}")),
        };
        remember(&mut editor, history.as_ref(), &line);
        match Line::read(&line) {
            Line::Blank => {}
            // The editor returns such a line only on a terminal where it cannot edit.
            Line::Unfinished => tell("Error: unclosed quote"),
            Line::Help(help) => say(&help),
            Line::Wrong(message) => tell(format_args!("Error: {message}")),
            Line::Command(Command::Exit) => return Ok(()),
            Line::Command(command) => {
                if let Err(error) = perform(command, &mut client.borrow_mut(), interrupts) {
                    tell(format_args!("Error: {error}"));
                }
            }
        }
    }
}

/// Carries out a command, over a new connection if the old one is gone.
fn perform(command: Command, client: &mut Client, interrupts: &Interrupts) -> Result<(), CommandError> {
    // Checked before anything is sent, so that nothing is ever done twice.
    if !client.is_connected() {
        client.reconnect()?;
        tell("The connection was lost; logged in again.");
    }
    let done = execute(command, client, &mut io::stdout(), |username| interrupts.ask_new_password(username));
    if let Err(CommandError::Client(ClientError::Lost(_))) = &done {
        tell("The command may or may not have been executed. The next command reconnects.");
    }
    done
}

fn prompt(client: &Client) -> String {
    match client.space() {
        Some(space) => format!("shibudb/{}> ", shown(space)),
        None => "shibudb> ".into(),
    }
}

/// Keeps a line in the history, unless it may hold a password: one that sets it, or one that is no
/// command, for that may be such a line mistyped.
fn remember(editor: &mut Editor<Assistant, FileHistory>, file: Option<&PathBuf>, line: &str) {
    if !may_be_kept(line) {
        return;
    }
    let kept = editor.add_history_entry(line).and_then(|_| match file {
        Some(file) => editor.append_history(file),
        None => Ok(()),
    });
    if let Err(error) = kept {
        tell(format_args!("Warning: cannot save the command history: {error}"));
    }
}

fn may_be_kept(line: &str) -> bool {
    let words = command::words(line).unwrap_or_default();
    words.first().is_some_and(|first| command::names().contains(first) && !command::sets_password(first))
}

/// Reads the history, and makes its file readable by its owner alone. The session works without
/// it, too.
fn open_history(editor: &mut Editor<Assistant, FileHistory>) -> Option<PathBuf> {
    let directory = BaseDirs::new()?.state_dir()?.join("shibudb");
    let file = directory.join("connect-history");
    let mut open = || -> Result<(), ReadlineError> {
        // After `sudo` the home may be that of another user, whose `connect` could not read what root leaves there.
        if !owner::would_own(rustix::process::geteuid().as_raw(), &directory) {
            return Err(io::Error::other("it is in another user's home directory").into());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&file)?;
        opened.set_permissions(Permissions::from_mode(0o600))?;
        editor.load_history(&file)
    };
    match open() {
        Ok(()) => Some(file),
        Err(error) => {
            tell(format_args!("Warning: no command history: cannot use {}: {error}", file.display()));
            None
        }
    }
}

fn say(text: &str) {
    writeln!(io::stdout(), "{text}").ok();
}

/// Prints something that is no result. It may quote a server.
fn tell(text: impl std::fmt::Display) {
    writeln!(io::stderr(), "{}", shown_lines(&text.to_string())).ok();
}

fn text(error: ReadlineError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_may_hold_a_password_are_not_kept() {
        for line in ["get key", "put key 'create-user'", "help create-user", "use x # y", "quit"] {
            assert!(may_be_kept(line), "{line}");
        }
        for line in [
            "",
            "# note",
            "create-user u pass",
            "  update-user-password u",
            "creat-user u pass",
            "'create-user' u pass",
            "create\\-user u pass",
            "put 'open",
        ] {
            assert!(!may_be_kept(line), "{line}");
        }
    }
}
