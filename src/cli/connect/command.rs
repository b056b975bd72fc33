//! What can be typed: one line, split as a shell splits it, read as a command.

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::auth::{self, Permission};
use crate::cli::usage;

/// What one line asks for.
#[derive(Debug, Parser)]
#[command(
    multicall = true,
    disable_help_flag = true,
    subcommand_required = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    help_template = "{subcommands}{after-help}",
    after_help = "`help COMMAND` describes one command. Quote as in a shell: put greeting 'Hello, world'"
)]
pub(super) enum Command {
    /// Choose the space for put, get and delete
    #[command(disable_help_flag = true)]
    Use {
        /// Its name
        #[arg(allow_hyphen_values = true)]
        space: String,
    },
    /// Store a value under a key, in the space in use
    #[command(
        disable_help_flag = true,
        after_help = "Quote as in a shell: put greeting 'Hello, world'. A quoted value may span several lines."
    )]
    Put {
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// The value; it replaces the one that is there
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Print the value of a key
    #[command(disable_help_flag = true)]
    Get {
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Remove a key and its value
    #[command(disable_help_flag = true)]
    Delete {
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Create a space
    #[command(disable_help_flag = true)]
    CreateSpace {
        /// Its name
        space: String,
        /// Faster writes, of which a crash may lose the last second
        #[arg(long)]
        no_wal: bool,
    },
    /// Delete a space and its contents
    #[command(disable_help_flag = true)]
    DeleteSpace {
        /// Its name
        #[arg(allow_hyphen_values = true)]
        space: String,
    },
    /// List the spaces that you may read
    #[command(disable_help_flag = true)]
    ListSpaces,
    /// Create a user
    #[command(disable_help_flag = true)]
    CreateUser {
        /// The name
        username: String,
        /// The password, in scripts only; an interactive session prompts for it
        #[arg(allow_hyphen_values = true)]
        password: Option<String>,
        /// Role of the user
        #[arg(long, value_enum, default_value_t = Role::User)]
        role: Role,
        /// What the user may do with a space: read or write, which includes read; may be repeated
        #[arg(long = "permission", value_name = "SPACE=ACCESS", value_parser = permission)]
        permissions: Vec<(String, String)>,
    },
    /// Change the password of a user
    #[command(disable_help_flag = true)]
    UpdateUserPassword {
        /// Name of the user
        username: String,
        /// The password, in scripts only; an interactive session prompts for it
        #[arg(allow_hyphen_values = true)]
        password: Option<String>,
    },
    /// Change the role of a user
    #[command(disable_help_flag = true)]
    UpdateUserRole {
        /// Name of the user
        username: String,
        /// The new role
        #[arg(value_enum)]
        role: Role,
    },
    /// Replace the permissions of a user
    #[command(disable_help_flag = true)]
    UpdateUserPermissions {
        /// Name of the user
        username: String,
        /// A space and read or write, which includes read
        #[arg(value_name = "SPACE=ACCESS", value_parser = permission, required_unless_present = "none")]
        permissions: Vec<(String, String)>,
        /// Remove all permissions
        #[arg(long, conflicts_with = "permissions")]
        none: bool,
    },
    /// Remove a user
    #[command(disable_help_flag = true)]
    DeleteUser {
        /// Name of the user
        #[arg(allow_hyphen_values = true)]
        username: String,
    },
    /// Show a user's role and permissions
    #[command(disable_help_flag = true)]
    GetUser {
        /// Name of the user
        #[arg(allow_hyphen_values = true)]
        username: String,
    },
    /// Quit (also Ctrl-D)
    #[command(disable_help_flag = true, visible_alias = "quit")]
    Exit,
}

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// Full access
    Admin,
    /// Access as the permissions allow
    User,
}

/// The result of reading a line.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing, or nothing but a comment.
    Blank,
    /// A quote is open, or the line ends with a backslash: the next line continues it.
    Unfinished,
    /// A request for help, with its text.
    Help(String),
    /// A command.
    Command(Command),
    /// Not a command, with the reason.
    Wrong(String),
}

impl Line {
    /// Reads a line, or several that belong together, without the last line feed.
    pub(super) fn read(text: &str) -> Self {
        let Some(words) = words(text) else { return Self::Unfinished };
        if words.is_empty() {
            return Self::Blank;
        }
        match Command::try_parse_from(&words) {
            Ok(command) => Self::Command(command),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Self::Help(trimmed(&error.to_string())),
            // The parser would quote the unexpected word, which may be part of a password.
            Err(_) if words.first().is_some_and(|name| sets_password(name)) => {
                Self::Wrong(format!("wrong arguments; see `help {}`", words[0]))
            }
            Err(error) => Self::Wrong(wrong(&error, &words)),
        }
    }
}

impl Role {
    /// The role's name in the protocol.
    pub(super) fn name(self) -> String {
        let role = match self {
            Self::Admin => auth::Role::Admin,
            Self::User => auth::Role::User,
        };
        role.name().to_owned()
    }
}

/// The error in a line, worded for this prompt and not for a shell.
fn wrong(error: &clap::Error, words: &[String]) -> String {
    // After `help`, the unknown word is the second.
    let unknown = words.iter().find(|word| *word != "help");
    if let (ErrorKind::InvalidSubcommand, Some(word)) = (error.kind(), unknown) {
        let names = names();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let said = usage::unknown_command(word, &names, usage::of_manager(word));
        return format!("{said}\n`help COMMAND` describes one command.");
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // `--` is for shells: here a value may begin with a hyphen as it is.
    let kept = text.lines().filter(|line| !line.trim_start().starts_with("tip: to pass"));
    let mut kept: Vec<_> = kept.collect();
    kept.dedup_by(|one, other| one.is_empty() && other.is_empty());
    trimmed(&kept.join("\n"))
}

/// The words of a line without comments; `None` if the next line continues it.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let words = shell_words::split(text).ok()?;
    // An open backslash is itself at the end of the text, but joins the lines if another follows.
    let followed = shell_words::split(&format!("{text}\n")).ok()?;
    (words == followed).then_some(words)
}

/// The names of all commands, `help` included.
pub(super) fn names() -> Vec<String> {
    let mut command = <Command as clap::CommandFactory>::command();
    command.build();
    let names = |command: &clap::Command| {
        let aliases = command.get_visible_aliases().map(str::to_owned);
        std::iter::once(command.get_name().to_owned()).chain(aliases).collect::<Vec<_>>()
    };
    command.get_subcommands().flat_map(names).collect()
}

/// Whether a line with this command may hold a password.
pub(super) fn sets_password(name: &str) -> bool {
    matches!(name, "create-user" | "update-user-password")
}

/// A permission as typed. The name of a space may hold `=`.
fn permission(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((space, access)) if !space.is_empty() && Permission::from_name(access).is_some() => {
            Ok((space.into(), access.into()))
        }
        _ => Err("expected SPACE=read or SPACE=write, such as notes=read".into()),
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end().to_owned()
}
