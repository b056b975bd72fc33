//! `shibudb connect`: the database by hand, or by a script.
//!
//! On a terminal it prompts for commands, with history and completion; the prompts go to the terminal
//! itself. If standard input is not a terminal, it reads commands from there and stops at the first
//! one that fails. Either way, values and messages go to standard output and everything else to
//! standard error, and no password is ever shown or kept in the history.

mod client;
mod command;
mod interactive;
mod prompt;
mod script;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::{EXIT_FAILED, EXIT_USAGE, Failure, completion, failed, manager, number, wait_for};
use crate::names::{shown, shown_lines};
use crate::protocol::client::{Answer, spaces};
use crate::protocol::{AdminRequest, Request, Text};
use client::{Client, ClientError};
use command::Command;

/// The variable with the password, for use without a prompt.
const PASSWORD: &str = "SHIBUDB_PASSWORD";

#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// Port of the server
    #[arg(allow_negative_numbers = true, value_parser = number::port, add = completion::servers())]
    port: u16,
    /// Who to log in as; the password is asked for, or taken from SHIBUDB_PASSWORD
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// Name or address of the machine that the server runs on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1", value_parser = manager::host)]
    host: String,
    /// How long the server may take to answer; a login after failed ones is made to wait
    #[arg(long, value_name = "SECONDS", default_value = "60", allow_negative_numbers = true,
          value_parser = number::timeout)]
    timeout: Duration,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The result could not be printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// The password prompt failed.
    #[error("cannot ask for a password: {0}")]
    Prompt(#[source] io::Error),
    #[error("the passwords do not match; nothing was changed")]
    DifferentPasswords,
    #[error("missing password: in a script, give it after the user name")]
    NoPassword,
    #[error("no space selected: choose one with `use SPACE`; `list-spaces` lists them")]
    NoSpace,
}

pub(super) fn connect(args: ConnectArgs) -> Result<(), Failure> {
    let ConnectArgs { port, user, host, timeout } = args;
    let interactive = io::stdin().is_terminal();
    let given = match std::env::var(PASSWORD) {
        Ok(password) => Some(password),
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(Failure { message: format!("{PASSWORD}: {error}"), status: EXIT_USAGE }),
    };
    if given.is_none() && !interactive {
        let message = format!("no password: standard input is not a terminal, and {PASSWORD} is not set");
        return Err(Failure { message, status: EXIT_USAGE });
    }
    let interrupts = if interactive { Some(prompt::Interrupts::install().map_err(failed)?) } else { None };
    let mut client = Client::connect(host, port, user, timeout).map_err(failed)?;
    let password = match (given, &interrupts) {
        (Some(password), _) => password,
        (None, Some(interrupts)) => interrupts
            .ask_password(&format!("Password of {}: ", client.username()))
            .map_err(|error| failed(CommandError::Prompt(error)))?,
        (None, None) => String::new(),
    };
    client.log_in(password).map_err(refused)?;
    match interrupts {
        Some(interrupts) => interactive::run(client, &interrupts),
        None => script::run(&mut client, io::stdin().lock(), &mut io::stdout()),
    }
    .map_err(|message| Failure { message, status: EXIT_FAILED })
}

/// The error for a failed login. If the management API listens on the port, the error names the client port instead.
fn refused(error: ClientError) -> Failure {
    if let ClientError::Http { host, port } = &error
        && let Ok(Some(clients)) = wait_for(manager::client_port(host, *port))
    {
        return failed(format!(
            "{port} is the management port of {clients}: type `shibudb connect {clients}` instead"
        ));
    }
    failed(error)
}

/// Carries out a command, and prints its result. `ask` prompts for a new password of a user.
fn execute(
    command: Command,
    client: &mut Client,
    out: &mut impl Write,
    ask: impl FnOnce(&str) -> Result<String, CommandError>,
) -> Result<(), CommandError> {
    let lists_spaces = matches!(command, Command::ListSpaces);
    let Some(request) = request(command, ask)? else { return Ok(()) };
    let needs_space = matches!(request, Request::Put { .. } | Request::Get { .. } | Request::Delete { .. });
    if needs_space && client.space().is_none() {
        // The server would refuse in the words of its protocol.
        return Err(CommandError::NoSpace);
    }
    let text = match client.ask(&request)? {
        Answer::Done(message) if lists_spaces => {
            let names = spaces(&message).map_err(ClientError::from)?;
            names.into_iter().map(|name| shown(&name).into_owned() + "\n").collect()
        }
        Answer::Value(text) if !io::stdout().is_terminal() => text + "\n",
        // Stored text of other users must not move the cursor or fake output.
        Answer::Done(text) | Answer::Value(text) | Answer::Refused(text) => {
            shown_lines(&text).into_owned() + "\n"
        }
    };
    print(out, &text)
}

/// Prints a result.
fn print(out: &mut impl Write, text: &str) -> Result<(), CommandError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has gone away is no error: the work is done.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// The request to the server; `None` for a command that needs none.
fn request(
    command: Command,
    ask: impl FnOnce(&str) -> Result<String, CommandError>,
) -> Result<Option<Request<'static>>, CommandError> {
    let text = |text: String| Text::from(text);
    Ok(Some(match command {
        Command::Use { space } => Request::UseSpace { space: text(space) },
        Command::Put { key, value } => Request::Put { space: None, key: text(key), value: text(value) },
        Command::Get { key } => Request::Get { space: None, key: text(key) },
        Command::Delete { key } => Request::Delete { space: None, key: text(key) },
        Command::ListSpaces => Request::ListSpaces,
        Command::CreateSpace { space, no_wal } => admin(AdminRequest::CreateSpace {
            space,
            engine: Some("key-value".into()),
            enable_wal: no_wal.then_some(false),
        }),
        Command::DeleteSpace { space } => admin(AdminRequest::DeleteSpace { space }),
        Command::CreateUser { username, password, role, permissions } => {
            let password = password.map_or_else(|| ask(&username), Ok)?;
            let permissions = permissions.into_iter().collect();
            admin(AdminRequest::CreateUser { username, password, role: Some(role.name()), permissions })
        }
        Command::UpdateUserPassword { username, password } => {
            let password = password.map_or_else(|| ask(&username), Ok)?;
            admin(AdminRequest::UpdatePassword { username, password })
        }
        Command::UpdateUserRole { username, role } => {
            admin(AdminRequest::UpdateRole { username, role: role.name() })
        }
        Command::UpdateUserPermissions { username, permissions, none: _ } => {
            admin(AdminRequest::UpdatePermissions {
                username,
                permissions: permissions.into_iter().collect(),
            })
        }
        Command::DeleteUser { username } => admin(AdminRequest::DeleteUser { username }),
        Command::GetUser { username } => admin(AdminRequest::GetUser { username }),
        Command::Exit => return Ok(None),
    }))
}

fn admin(request: AdminRequest) -> Request<'static> {
    Request::Admin(Box::new(request))
}
