//! `shibudb check`: is this config file all right?

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
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file to check
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let invalid = |message| Failure { message, status: EXIT_CONFIG };
    let file = args.config.display();
    let path = args.config.clone();
    let look = move || {
        let parsed = config::load(&path).map_err(|error| error.to_string())?;
        Ok::<_, String>(parsed.config.management.token_file.as_deref().map(Token::read).transpose())
    };
    let Some(looked) = within(PATIENCE, look) else {
        let seconds = PATIENCE.as_secs();
        let message = format!("{file}: cannot be read: its file system has not answered for {seconds} s");
        return Err(Failure { message, status: EXIT_FAILED });
    };
    match looked.map_err(invalid)? {
        // Whoever checks need not be the user as whom the server will run.
        Err(error) if error.is_permission_denied() => say(format_args!("{file}: not checked: {error}")),
        Err(error) => return Err(invalid(format!("{file}: {error}"))),
        Ok(_) => {}
    }
    say(format_args!("{file}: no problems"));
    Ok(())
}

/// Does `look` on a thread of its own; `None` if that takes too long. The thread ends with the process.
fn within<T: Send + 'static>(patience: Duration, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(look()));
    result.recv_timeout(patience).ok()
}
