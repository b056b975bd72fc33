//! Where files are: config, data, run-time state.
//!
//! Data goes where the command line says, else the config file, else to what systemd prepared
//! (`StateDirectory=`), else to the place of the user: the system's for root, the XDG directories for anyone
//! else. Run-time state always goes to the place of the user: only `start` leaves any.

use std::path::{Path, PathBuf};

use directories::BaseDirs;

/// The config file that is read when none is named, if it exists.
pub const DEFAULT_CONFIG: &str = "/etc/shibudb/shibudb.toml";

/// Neither a data directory was named nor is there a home to put one into.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot tell where to keep {what}: this user has no home directory; name a directory with --data-dir"
)]
pub struct NoPlace {
    what: &'static str,
}

/// Where data is kept: as named, else as the system has it.
///
/// # Errors
/// [`NoPlace`] for a user without a home directory.
pub(super) fn data_dir(named: Option<&Path>) -> Result<PathBuf, NoPlace> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    if let Some(prepared) = prepared("STATE_DIRECTORY") {
        return Ok(prepared);
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/shibudb".into());
    }
    state_home().ok_or(NoPlace { what: "data" })
}

/// Where `start` leaves word of what it has begun.
///
/// # Errors
/// [`NoPlace`] for a user without a home directory.
pub fn runtime_dir() -> Result<PathBuf, NoPlace> {
    if rustix::process::geteuid().is_root() {
        return Ok("/run/shibudb".into());
    }
    BaseDirs::new()
        .and_then(|base| base.runtime_dir().map(|dir| dir.join("shibudb")))
        .or_else(|| state_home().map(|dir| dir.join("run")))
        .ok_or(NoPlace { what: "the PID file" })
}

fn state_home() -> Option<PathBuf> {
    BaseDirs::new().and_then(|base| base.state_dir().map(|dir| dir.join("shibudb")))
}

/// A directory that systemd prepared. It lists several separated by colons; ours is the first.
fn prepared(variable: &str) -> Option<PathBuf> {
    let list = std::env::var_os(variable)?;
    std::env::split_paths(&list).next().filter(|path| path.is_absolute())
}
