//! `shibudb check`: validates a config file.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{EXIT_CONFIG, EXIT_FAILED, Failure, say};
use crate::config;
use crate::daemon::DEFAULT_CONFIG;
use crate::management::Token;

/// How long the files may take to be read. `systemctl reload` waits for it.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file to check [default: /etc/shibudb/shibudb.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as `run` and `start` have it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

/// The result of a check.
enum Verdict {
    NoProblems,
    /// The file has these problems.
    Problems(String),
    /// This user cannot read all of it, and why not.
    Unknown(String),
}

pub(super) fn check(args: CheckArgs) -> Result<(), Failure> {
    let path = args.file.or(args.config).unwrap_or_else(|| DEFAULT_CONFIG.into());
    let file = path.display().to_string();
    let Some(checked) = within(MAX_WAIT, move || look(&path)) else {
        let seconds = MAX_WAIT.as_secs();
        let message = format!("{file}: cannot be read: its file system has not responded for {seconds} s");
        return Err(Failure { message, status: EXIT_FAILED });
    };
    match checked {
        Verdict::NoProblems => say(format_args!("{file}: no problems")),
        Verdict::Problems(message) => return Err(Failure { message, status: EXIT_CONFIG }),
        Verdict::Unknown(why) => {
            let message = format!(
                "{why}; check it as the user that the server runs as: sudo -u USER shibudb check {file}"
            );
            return Err(Failure { message, status: EXIT_FAILED });
        }
    }
    Ok(())
}

fn look(path: &std::path::Path) -> Verdict {
    let file = path.display();
    let parsed = match config::load(path) {
        Ok(parsed) => parsed,
        Err(error) if error.is_permission_denied() => {
            return Verdict::Unknown(format!("not checked: {error}"));
        }
        Err(error) => return Verdict::Problems(error.to_string()),
    };
    match parsed.config.management.token_file.as_deref().map(Token::read).transpose() {
        Ok(_) => Verdict::NoProblems,
        // The user who runs the check may differ from the user of the server.
        Err(error) if error.is_permission_denied() => Verdict::Unknown(format!(
            "{file}: no problems in the file itself, but some checks could not run: {error}"
        )),
        Err(error) => Verdict::Problems(format!("{file}: {error}")),
    }
}

/// Runs `look` on a thread of its own; `None` if that takes too long. The thread ends with the process.
fn within<T: Send + 'static>(max_wait: Duration, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(look()));
    result.recv_timeout(max_wait).ok()
}
