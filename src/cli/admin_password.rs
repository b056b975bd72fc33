//! Keeps the first password of the account `admin` out of the environment: users who may look into `/proc` could read
//! it there for as long as the server runs.
//!
//! The kernel keeps showing the environment that a process was started with. So `run` re-executes itself without
//! the variable, as the same process, and passes itself the password through a pipe; and `start` does the same with
//! the server that it starts.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::colours::warning;
use super::{EXIT_CONFIG, Failure, failed};
use crate::daemon::AdminPassword;
use crate::logging::{self, Priority};
use crate::reading;

/// The variable.
pub(super) const VARIABLE: &str = "SHIBUDB_ADMIN_PASSWORD";

/// Announces that the password comes on standard input. Internal.
pub(super) const ON_STDIN: &str = "--admin-password-on-stdin";

/// Longer than any password, and less than a pipe holds.
const LONGEST: usize = 4096;

/// The content of the variable, if it is set.
pub(super) fn of_environment() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|password| !password.is_empty())
}

/// Passes the password to the server that `command` will start.
pub(super) fn hand_over(command: &mut Command, password: &OsStr) -> Result<(), Failure> {
    let password = password.to_str().ok_or_else(|| unusable("it is not UTF-8"))?.as_bytes();
    if password.len() > LONGEST {
        return Err(unusable("it is too long"));
    }
    let (reader, mut writer) = io::pipe().map_err(failed)?;
    writer.write_all(password).map_err(failed)?;
    command.env_remove(VARIABLE).arg(ON_STDIN).stdin(Stdio::from(reader));
    Ok(())
}

/// Re-executes this process without the variable. Returns only if the variable is not set, or if that failed; then the
/// password is that of the variable.
pub(super) fn leave_the_environment() -> Result<Option<AdminPassword>, Failure> {
    let Some(password) = of_environment() else { return Ok(None) };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "shibudb".into());
    let subcommand = arguments.next().unwrap_or_else(|| "run".into());
    let rest: Vec<_> = arguments.collect();
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    // The second works even if the file has been replaced meanwhile; it is last because it names the process `exe`.
    for program in [std::env::current_exe().unwrap_or_default(), "/proc/self/exe".into()] {
        let mut command = Command::new(program);
        command.arg0(&name).arg(&subcommand);
        hand_over(&mut command, &password)?;
        error = command.args(&rest).exec();
    }
    let words = format!(
        "{VARIABLE} stays readable in the environment of this process: cannot re-execute without it: {error}"
    );
    // Without standard error a warning has no reader.
    logging::write(Priority::Warning, warning(words)).ok();
    parse(password.into_vec()).map(Some)
}

/// Reads the password that [`hand_over`] has written.
pub(super) fn from_stdin() -> Result<AdminPassword, Failure> {
    let password = reading::up_to(io::stdin().lock(), LONGEST as u64).map_err(failed)?;
    let nothing = File::open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdin(nothing).map_err(failed)?;
    parse(password)
}

/// Also checked before it was passed on, where the user sees the error.
fn parse(password: Vec<u8>) -> Result<AdminPassword, Failure> {
    String::from_utf8(password).map(AdminPassword::from).map_err(|_| unusable("it is not UTF-8"))
}

fn unusable(why: &str) -> Failure {
    Failure { message: format!("the password in {VARIABLE} cannot be used: {why}"), status: EXIT_CONFIG }
}
