//! `shibudb check`: is this config file all right?

use std::path::PathBuf;

use clap::Args;

use super::{EXIT_CONFIG, Failure, say};
use crate::config;
use crate::daemon::DEFAULT_CONFIG;
use crate::management::Token;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file to check
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let invalid = |message| Failure { message, status: EXIT_CONFIG };
    let file = args.config.display();
    let parsed = config::load(&args.config).map_err(|error| invalid(error.to_string()))?;
    let token = parsed.config.management.token_file.as_deref().map(Token::read).transpose();
    match token {
        // Whoever checks need not be the user as whom the server will run.
        Err(error) if error.is_permission_denied() => say(format_args!("{file}: not checked: {error}")),
        Err(error) => return Err(invalid(format!("{file}: {error}"))),
        Ok(_) => {}
    }
    say(format_args!("{file}: no problems"));
    Ok(())
}
