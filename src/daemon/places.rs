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

/// Where `start` leaves word of what it has begun, first; then where else it may have, started by the same user
/// from another environment. One that cron runs has no `XDG_RUNTIME_DIR`, and a login has.
///
/// # Errors
/// [`NoPlace`] for a user without a home directory.
pub fn runtime_dirs() -> Result<Vec<PathBuf>, NoPlace> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Ok(vec!["/run/shibudb".into()]);
    }
    let runtime = BaseDirs::new().and_then(|base| base.runtime_dir().map(Path::to_owned));
    let dirs = runtime_dirs_of(user.as_raw(), runtime, state_home());
    if dirs.is_empty() { Err(NoPlace { what: "the PID file" }) } else { Ok(dirs) }
}

fn runtime_dirs_of(user: u32, runtime: Option<PathBuf>, state_home: Option<PathBuf>) -> Vec<PathBuf> {
    let in_state = state_home.map(|dir| dir.join("run"));
    match (runtime, in_state) {
        (Some(runtime), in_state) => [runtime.join("shibudb")].into_iter().chain(in_state).collect(),
        // Where a login has it, on a system with systemd.
        (None, Some(in_state)) => vec![in_state, format!("/run/user/{user}/shibudb").into()],
        (None, None) => Vec::new(),
    }
}

fn state_home() -> Option<PathBuf> {
    BaseDirs::new().and_then(|base| base.state_dir().map(|dir| dir.join("shibudb")))
}

/// A directory that systemd prepared. It lists several separated by colons; ours is the first.
fn prepared(variable: &str) -> Option<PathBuf> {
    let list = std::env::var_os(variable)?;
    std::env::split_paths(&list).next().filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_from_another_environment_is_looked_for() {
        let state = || Some("/home/u/.local/state/shibudb".into());
        let (of_login, of_cron) = ("/run/user/1000/shibudb", "/home/u/.local/state/shibudb/run");
        for (runtime, state, expected) in [
            (Some("/run/user/1000"), state(), vec![of_login, of_cron]),
            (None, state(), vec![of_cron, of_login]),
            (Some("/run/user/1000"), None, vec![of_login]),
            (None, None, vec![]),
        ] {
            let dirs = runtime_dirs_of(1000, runtime.map(PathBuf::from), state);
            assert_eq!(dirs, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>(), "{runtime:?}");
        }
    }
}
