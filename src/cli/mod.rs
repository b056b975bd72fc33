//! The command line: arguments, start and stop, manager, connect, import, check.
//!
//! Results go to standard output. Errors go to standard error as `Error: ...`, with
//! nothing on standard output, and the exit status gives the kind of error: 1 refused or
//! failed, 2 wrong usage, 65 damaged data, 78 an invalid configuration.

mod admin_password;
mod check;
pub mod colours;
pub mod completion;
mod connect;
mod import;
pub mod manager;
mod number;
mod progress;
mod start;
mod stop;
mod usage;

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use colours::Colours;

use crate::daemon::{self, Options, RunError};
use crate::logging::{self, Priority};
use crate::private;
use crate::signals::{self, Held};

/// A database server whose connection limit can be moved while it runs.
#[derive(Debug, Parser)]
#[command(name = "shibudb", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Change the limit of a running server with `shibudb manager`, with SIGUSR1 and SIGUSR2, \
    or by editing max_connections in the config file."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server in the foreground
    Run(RunArgs),
    /// Start a server in the background; returns once it is ready
    Start(StartArgs),
    /// Stop a server started with `start`, after its connections have finished
    Stop(stop::StopArgs),
    /// Check a config file and print every problem in it
    Check(check::CheckArgs),
    /// Show or change the connection limit of a running server
    Manager(manager::ManagerArgs),
    /// Run commands on a server, typed or from a script on standard input
    Connect(connect::ConnectArgs),
    /// Import the data directory of a ShibuDB server; neither server may be running
    Import(import::ImportArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Port for clients; the management API is 1000 above [default: from the config file, else 9090]
    #[arg(allow_negative_numbers = true, value_parser = number::port_or_any)]
    port: Option<u16>,
    /// Initial connection limit [default: from the config file, else 1000]
    #[arg(allow_negative_numbers = true, value_parser = number::first_limit)]
    max_connections: Option<NonZeroU32>,
    #[command(flatten)]
    files: Files,
    /// Write the process id here and leave the terminal: how `start` calls `run`
    #[arg(long, hide = true)]
    pid_file: Option<PathBuf>,
    /// The file that standard error is, to be kept short
    #[arg(long, hide = true)]
    log_file: Option<PathBuf>,
    /// Read the first password of the account admin from standard input: how `run` and `start` keep it out of the
    /// environment
    #[arg(long, hide = true)]
    admin_password_on_stdin: bool,
}

#[derive(Debug, Args)]
struct StartArgs {
    /// Port for clients; the management API is 1000 above
    #[arg(allow_negative_numbers = true, value_parser = number::port)]
    port: u16,
    /// Initial connection limit [default: from the config file, else 1000]
    #[arg(allow_negative_numbers = true, value_parser = number::first_limit)]
    max_connections: Option<NonZeroU32>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
struct Files {
    /// Config file [default: /etc/shibudb/shibudb.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for data, created if missing [default: /var/lib/shibudb for root, else ~/.local/state/shibudb]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// A failure with its exit status. Only [`main`] prints the message.
#[derive(Debug)]
struct Failure {
    message: String,
    status: u8,
}

/// The arguments as clap defines them, for the manual page and the shell completions.
pub fn command() -> clap::Command {
    // Changing a single command by name would move it to the end.
    Cli::command().mut_subcommands(|command| match command.get_name() {
        "manager" => manager::with_usage(command),
        _ => command,
    })
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run().unwrap_or_else(|Failure { message, status }| {
        // Without standard error the message is lost; the status remains.
        logging::write(Priority::Error, colours::error(message)).ok();
        ExitCode::from(status)
    })
}

fn run() -> Result<ExitCode, Failure> {
    // Before anything else, so that no signal kills a server that is only starting.
    let held = completion::answer(signals::hold().map_err(failed)?).map_err(failed)?;
    logging::mark_early_panics();
    private::set_umask();
    let (Cli { command }, held) = arguments(held)?;
    if let Command::Run(args) = command {
        return run_daemon(args, held);
    }
    if let Command::Start(args) = command {
        return start::start(&args, &held).map(|()| ExitCode::SUCCESS);
    }
    held.release().map_err(failed)?;
    let done = match command {
        Command::Run(_) | Command::Start(_) => unreachable!("taken care of above"),
        Command::Stop(args) => stop::stop(&args),
        Command::Check(args) => check::check(args),
        Command::Manager(args) => run_manager(args),
        Command::Connect(args) => connect::connect(args),
        Command::Import(args) => import::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The arguments. Prints help or the version on request and exits. For a command that does not handle
/// signals, restores their default effect.
fn arguments(held: Held) -> Result<(Cli, Held), Failure> {
    let matches = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let error = match matches {
        Ok(arguments) => return Ok((arguments, held)),
        Err(error) => error,
    };
    held.release().map_err(failed)?;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        // Reported like every other error, not in the parser's format.
        _ => {
            let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
            let message = usage::message(&error, command(), &typed.collect::<Vec<_>>());
            Err(Failure { message, status: EXIT_USAGE })
        }
    }
}

/// Runs the daemon. If it ends with an error, prints the error without waiting for a reader.
fn run_daemon(args: RunArgs, held: Held) -> Result<ExitCode, Failure> {
    let RunArgs { port, max_connections, files, pid_file, log_file, admin_password_on_stdin } = args;
    let admin_password = if admin_password_on_stdin {
        Some(admin_password::from_stdin()?)
    } else {
        admin_password::leave_the_environment()?
    };
    let Files { config, data_dir } = files;
    let options = Options { port, max_connections, config, data_dir, pid_file, log_file, admin_password };
    Ok(match daemon::run(options, held) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::print_error(colours::error(&error), LAST_LINE);
            ExitCode::from(error.status())
        }
    })
}

fn run_manager(args: manager::ManagerArgs) -> Result<(), Failure> {
    wait_for(manager::run(args, Colours::of(&std::io::stdout()), &mut std::io::stdout()))?
        .map_err(|error| Failure { status: error.exit_status(), message: error.to_string() })
}

/// Runs a future to its end. Does not wait for background work that it started, such as a name service lookup.
fn wait_for<T>(something: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(something);
    runtime.shutdown_background();
    Ok(result)
}

impl RunError {
    /// The exit status. It tells the unit file and scripts whether a restart can help: 1 for a failure that may be
    /// temporary, a separate status for any other.
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Open(error) if error.is_permanent() => EXIT_DATA,
            Self::NotOurs { error, .. } => error.status(),
            Self::Config(_) | Self::OfAnotherUser { .. } => EXIT_CONFIG,
            Self::Bind(error) if error.is_permanent() => EXIT_CONFIG,
            Self::Inherit(error) if error.is_permanent() => EXIT_CONFIG,
            _ => EXIT_FAILED,
        }
    }
}

/// How long a daemon that ends waits for the reader of its last error message.
const LAST_LINE: Duration = Duration::from_secs(2);

/// Refused or failed.
const EXIT_FAILED: u8 = 1;
/// Wrong usage, as in clap.
const EXIT_USAGE: u8 = 2;
/// Stored data is damaged, or cannot be read by this version: `EX_DATAERR` of sysexits.h.
const EXIT_DATA: u8 = 65;
/// An invalid configuration: `EX_CONFIG` of sysexits.h. Also any other condition that a restart does not change.
const EXIT_CONFIG: u8 = 78;

/// Prints a result. A reader that has gone away is no error: the work is done.
fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Prints a message that is not a result. Without standard error, the message is lost.
fn tell(text: impl std::fmt::Display) {
    logging::write(Priority::Info, text).ok();
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure { message: error.to_string(), status: EXIT_FAILED }
}
