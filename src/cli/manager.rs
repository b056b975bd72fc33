//! `shibudb manager`: the management API for hands and scripts.
//!
//! Each command sends one request to the server, on this machine by default, and prints the answer on standard output.
//! It decides nothing: numbers go to the server as typed, and refusals are printed in the server's
//! own words. The output is complete or empty, so a script never reads half an answer.
//!
//! The file is long because all commands of `manager` and their help texts are declared here.

mod api;
mod connections;
mod ending;
mod endpoint;
mod lines;
mod near;
mod nobody;
mod table;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::colours::Colours;
use super::{completion, number};
use crate::logging::{self, Priority};
use crate::management::wire::{
    ConfigReport, CurrentLimit, DEFAULT_HISTORY, HEALTHY, Health, LONGEST_HISTORY, Message, ReloadReport,
    SERVICE,
};
use crate::management::{Token, TokenError};
use api::{Answer, Api};
use endpoint::{Endpoint, LOCAL, PORT_OFFSET};
use nobody::Nobody;

pub use api::ApiError;
pub(super) use ending::{Told, ask_while_ending};
pub(super) use endpoint::host;
pub(super) use nobody::client_port;

/// Show or change the connection limit of a running server.
#[derive(Debug, Clone, Args)]
#[command(subcommand_precedence_over_arg = true)]
pub struct ManagerArgs {
    /// Port of the server (its management API listens 1000 above)
    #[arg(allow_negative_numbers = true, value_parser = number::port, add = completion::servers())]
    port: Option<u16>,

    /// Port of the management API, if it is not 1000 above
    #[arg(long, global = true, value_name = "PORT", allow_negative_numbers = true, value_parser = number::port)]
    management_port: Option<u16>,

    /// Host name or address of the server [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "HOST", value_parser = host)]
    host: Option<String>,

    /// Unix socket of the management API, instead of a port
    #[arg(long, global = true, value_name = "PATH", conflicts_with_all = ["management_port", "host"])]
    socket: Option<PathBuf>,

    /// File with the token that the server expects
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How long the server may take to accept the connection and to answer
    #[arg(long, global = true, value_name = "SECONDS", default_value = "5", allow_negative_numbers = true,
          value_parser = number::timeout)]
    timeout: Duration,

    /// Print the API's answer unchanged
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    #[command(flatten)]
    Ask(Question),
    /// Watch connections, limit and changes: a live view on a terminal, else a line a second
    Watch,
}

/// What is asked once, and answered once.
#[derive(Debug, Clone, Subcommand)]
enum Question {
    /// Show the limit and the active connections
    Status,
    /// Show how much of the limit is in use
    Stats,
    /// Set the limit
    Limit {
        /// The new limit, without a sign: `increase` and `decrease` move it by a number
        #[arg(value_name = "N", allow_negative_numbers = true, value_parser = number::limit)]
        limit: u128,
    },
    /// Raise the limit
    Increase {
        /// Amount; the configured step by default
        #[arg(value_name = "N", allow_negative_numbers = true, value_parser = number::increase)]
        amount: Option<u128>,
    },
    /// Lower the limit
    Decrease {
        /// Amount; the configured step by default
        #[arg(value_name = "N", allow_negative_numbers = true, value_parser = number::decrease)]
        amount: Option<u128>,
    },
    /// Ask whether the server is healthy
    Health,
    /// Reset to the configured limit
    Reset,
    /// Show the last attempts to change the limit, applied or refused
    History {
        /// Number of entries, at most 1000
        #[arg(value_name = "N", default_value_t = DEFAULT_HISTORY, allow_negative_numbers = true,
              value_parser = |text: &str| number::count(text, 1..=LONGEST_HISTORY))]
        count: u16,
    },
    /// List the client connections
    Connections(connections::Wanted),
    /// List the addresses rejected most often at the limit
    Rejections,
    /// Close a connection: at once if it is idle, else after its current request
    Kill {
        /// Number of the connection, as shown by `connections`
        #[arg(allow_negative_numbers = true, value_parser = number::connection_id)]
        id: u64,
    },
    /// Show every setting, and where its value comes from
    Config,
    /// Reload the config file
    Reload,
}

/// Why a command printed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// There is no such management port.
    #[error(
        "the management port for {port} would be {}, above 65535; if the server uses another one, give it with \
         --management-port",
        u32::from(*port) + u32::from(PORT_OFFSET)
    )]
    NoManagementPort {
        /// The port given.
        port: u16,
    },
    /// Neither a port nor a socket was named.
    #[error("give the port of the server, or its management socket with --socket")]
    Nowhere,
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server could not be asked, or it refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server did not answer; further lines give the known causes.
    #[error("{error}{nobody}")]
    Nobody {
        /// The reason, in the wording of the founding document.
        error: ApiError,
        /// What was tried, and what the user may have meant.
        nobody: Nobody,
    },
    /// The given path is not a socket.
    #[error("{} is {found}, not a socket; give the path in management.socket in the config file", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
        /// The kind of file at this path.
        found: &'static str,
    },
    /// The terminal is unusable.
    #[error("cannot use this terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The answer could not be printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl ManagerError {
    /// The exit status that this error stands for: 2 for wrong usage, else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::NoManagementPort { .. } | Self::Nowhere => 2,
            _ => 1,
        }
    }
}

/// The usage as a user types it. The parser would omit the port, which is optional if there is a socket, and put
/// the options before the arguments that users look for.
pub(super) fn with_usage(manager: clap::Command) -> clap::Command {
    manager.override_usage("shibudb manager <PORT> <COMMAND> [OPTIONS]").mut_subcommands(|command| {
        let words = command.get_positionals().map(|argument| format!(" {argument}"));
        let words = String::from_iter(words);
        let usage = format!("shibudb manager <PORT> {}{words} [OPTIONS]", command.get_name());
        command.override_usage(usage)
    })
}

/// Queries the server and writes its answer to `out`, in colour if requested. A reader that has gone away is no error.
/// A warning goes to standard error.
///
/// # Errors
/// [`ManagerError`]; nothing has been written then.
pub async fn run(args: ManagerArgs, colours: Colours, out: &mut impl io::Write) -> Result<(), ManagerError> {
    let ManagerArgs { port, management_port, host, socket, token_file, timeout, json, command } = args;
    // A given host or token file means that the user wants the port.
    let is_here = host.as_ref().is_none_or(|host| host == LOCAL) && token_file.is_none();
    let host = host.unwrap_or_else(|| LOCAL.to_owned());
    let server = port.map(|port| Endpoint::Network { host: host.clone(), port });
    let endpoint = match (socket, management_port, port) {
        (Some(path), ..) => Endpoint::socket(path)?,
        (None, Some(port), _) => Endpoint::Network { host, port },
        (None, None, Some(port)) if is_here && let Some(path) = near::socket_of(port, timeout).await => {
            Endpoint::Socket(path)
        }
        (None, None, Some(port)) => Endpoint::Network {
            host,
            port: port.checked_add(PORT_OFFSET).ok_or(ManagerError::NoManagementPort { port })?,
        },
        (None, None, None) => return Err(ManagerError::Nowhere),
    };
    let token = token_file.as_deref().map(Token::read).transpose()?;
    let name = match (&server, port) {
        (Some(server), Some(port)) if server.is_local() => format!("on port {port}"),
        (Some(server), _) => format!("at {server}"),
        (None, _) => format!("managed on {endpoint}"),
    };
    let api = Api::new(endpoint, token.as_ref(), timeout)?;
    let said = match command {
        Command::Ask(question) => within(&api, ask(&api, question, json, colours)).await,
        Command::Watch => match watch::run(&api, &name, json, out).await {
            Err(ManagerError::Api(error)) => Err(error),
            watched => return watched,
        },
    };
    let Said { text, warning } = match said {
        Ok(said) => said,
        Err(error @ ApiError::Unreachable { .. }) => {
            let derived_from = port.filter(|_| management_port.is_none());
            let nobody = Nobody::look(api.endpoint(), &error, derived_from).await;
            return Err(ManagerError::Nobody { error, nobody });
        }
        Err(error) => return Err(error.into()),
    };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Some(warning) = warning {
        // The answer is what counts; without standard error a warning has no reader.
        logging::write(Priority::Warning, super::colours::warning(warning)).ok();
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ManagerError::Output(error)),
        _ => Ok(()),
    }
}

/// The answer; an error if all steps together take longer than the timeout.
async fn within<T>(api: &Api, answer: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(api.max_wait(), answer).await.unwrap_or_else(|_| Err(api.silent()))
}

/// The output: the answer unchanged, or in words.
struct Said {
    text: String,
    /// For standard error.
    warning: Option<&'static str>,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self { text, warning: None }
    }
}

async fn ask(api: &Api, question: Question, json: bool, colours: Colours) -> Result<Said, ApiError> {
    let limit = |limit: u128| Some(format!("{{\"limit\":{limit}}}"));
    let amount = |amount: Option<u128>| amount.map(|amount| format!("{{\"amount\":{amount}}}"));
    let done = |answer: Answer<Message>| Said {
        warning: answer.warning(),
        text: answer.print(json, lines::message),
    };
    let text = match question {
        Question::Status => {
            let answer = api.get::<CurrentLimit>("/limit").await?;
            let config = if json { None } else { Some(api.get::<ConfigReport>("/config").await?) };
            let config = config.map(|config| config.value);
            answer.print(json, |now| lines::status(now, config.as_ref(), colours))
        }
        Question::Stats => {
            let answer = api.get("/stats").await?;
            // Only for the colour, which has a value to fall back to.
            let wanted = colours.are_on() && !json;
            let config = if wanted { api.get::<ConfigReport>("/config").await.ok() } else { None };
            let config = config.map(|config| config.value);
            answer.print(json, |stats| lines::stats(stats, config.as_ref(), colours))
        }
        Question::Health => {
            let answer = api.get::<Health>("/health").await?;
            if answer.value.service != SERVICE {
                return Err(api.stranger());
            }
            let is_well = answer.value.status == HEALTHY;
            let config = if is_well || json { None } else { api.get::<ConfigReport>("/config").await.ok() };
            let config = config.map(|config| config.value);
            answer.print(json, |health| lines::health(health, config.as_ref(), colours))
        }
        Question::History { count } => {
            let answer = api.get(&format!("/history?limit={count}")).await?;
            answer.print(json, |history| lines::history(history, colours))
        }
        Question::Connections(wanted) => {
            let answer = api.get(&wanted.path()).await?;
            answer.print(json, |list| connections::table(list, colours))
        }
        Question::Rejections => {
            api.get("/rejections").await?.print(json, |list| connections::rejections(list, colours))
        }
        Question::Config => api.get("/config").await?.print(json, |report| lines::config(report, colours)),
        Question::Reload => {
            let answer = api.post::<ReloadReport>("/reload", None).await?;
            // The caller, or the unit that reloads by this command, must see a refusal that is not applied later.
            if let Some(refused) = lines::refused_for_good(&answer.value) {
                return Err(ApiError::Refused(refused));
            }
            let warning = answer.warning();
            let text = answer.print(json, |report| lines::reload(report, colours));
            return Ok(Said { text, warning });
        }
        Question::Kill { id } => return api.delete(&format!("/connections/{id}")).await.map(done),
        Question::Limit { limit: n } => return api.put("/limit", limit(n)).await.map(done),
        Question::Increase { amount: n } => return api.post("/limit/increase", amount(n)).await.map(done),
        Question::Decrease { amount: n } => return api.post("/limit/decrease", amount(n)).await.map(done),
        Question::Reset => return api.post("/limit/reset", None).await.map(done),
    };
    Ok(text.into())
}
