//! `shibudb check`: is this config file all right?

use std::path::PathBuf;

use clap::Args;

use super::{EXIT_CONFIG, Failure, say};
use crate::config;
use crate::daemon::DEFAULT_CONFIG;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file to check
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    match config::load(&args.config) {
        Ok(_) => {
            say(format_args!("{}: no problems", args.config.display()));
            Ok(())
        }
        Err(error) => Err(Failure { message: error.to_string(), status: EXIT_CONFIG }),
    }
}
