//! Virtual environments with packages from PyPI, made once and kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::harness::skipped;

const CLIENT: &str = "shibudb-client==1.1.0";

static ENVIRONMENT: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Only one test at a time makes an environment: tests run in parallel, and two would interfere.
static MAKING: Mutex<()> = Mutex::new(());

/// One of the programs in `python_client/`, to be run with the client installed; `None`, with the reason
/// printed, if that is impossible.
pub(crate) fn python(program: &str) -> Option<Command> {
    match ENVIRONMENT.get_or_init(|| make("python-client", CLIENT, "shibudb_client")) {
        Ok(python) => {
            let mut command = Command::new(python);
            command
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/python_client").join(program));
            Some(command)
        }
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

/// The Python of the environment `name`, in which the `module` of the `package` can be imported; else the reason.
pub(crate) fn make(name: &str, package: &str, module: &str) -> Result<PathBuf, String> {
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = directory.join("bin/python");
    let has_package = || {
        let mut command = Command::new(&python);
        let import = format!("import {module}");
        command.args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    if !has_package() {
        let needs = |what: &str, error: String| format!("{package} needs {what}: {error}");
        // Replaces leftovers of an earlier attempt.
        try_to(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))
            .map_err(|error| needs("python3 with venv", error))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1", package];
        try_to(Command::new(&python).args(pip)).map_err(|error| needs("PyPI", error))?;
    }
    Ok(python)
}

/// Runs a command; on failure, the error is the last line of its standard error.
fn try_to(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&stderr);
    if status.success() { Ok(()) } else { Err(said.trim().lines().last().unwrap_or("failed").to_owned()) }
}
