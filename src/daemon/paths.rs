//! Where files are: config, data, run-time state.
//!
//! Data goes to the directory on the command line, else in the config file, else prepared by systemd
//! (`StateDirectory=`), else to the user's default: the system's for root, the XDG directories for other
//! users. Run-time state always goes to the user's default; only `start` leaves any.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use tempfile::TempDir;

use super::RunError;
use crate::owner::{self, Owner};
use crate::private;

/// Where root leaves PID files.
pub(crate) const ROOT_RUNTIME_DIR: &str = "/run/shibudb";

/// The name of the management socket there. `shibudb manager` looks for it below [`ROOT_RUNTIME_DIR`].
pub(crate) const MANAGEMENT_SOCKET: &str = "management.sock";

/// Below this directory, root creates a directory for each user to which a server that root started has switched.
const USERS_RUNTIME_DIR: &str = "/run/shibudb/users";

/// The config file that is read when none is named, if it exists.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/shibudb/shibudb.toml";

/// The user has no suitable directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    /// No data directory was named, and there is no home directory for a default.
    #[error("no default data directory: this user has no home directory; set one with --data-dir")]
    Data,
    /// The same for the PID file.
    #[error(
        "no directory for the PID file: this user owns neither a home directory nor a runtime directory; `shibudb \
         run` needs none"
    )]
    PidFile,
}

/// Makes a directory and its parents, accessible to this user alone: stored data must not be readable by
/// the whole machine.
///
/// # Errors
/// [`RunError::File`]
pub(crate) fn make_private_dir(path: &Path) -> Result<(), RunError> {
    private::make_dir(path).map_err(RunError::file("create", path))
}

/// The data directory: the named one, else the default.
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
    state_home().ok_or(NoPlace::Data)
}

/// The default path of the management socket: in the first `RuntimeDirectory=` of the unit, if there is one.
pub(super) fn management_socket() -> Option<PathBuf> {
    prepared("RUNTIME_DIRECTORY").map(|directory| directory.join(MANAGEMENT_SOCKET))
}

/// The directories in which `start` may create the PID file of its server, the best one first. [`look_dirs`] lists
/// those that `stop` searches.
///
/// The environment is not trusted: `XDG_RUNTIME_DIR` is removed when its user logs out, and after `su` it is
/// another user's. So the directory is in the user's home if there is one; another user's directory does not count.
///
/// # Errors
/// [`NoPlace`] for a user who has no directory at all.
pub(crate) fn runtime_dirs() -> Result<Vec<PathBuf>, NoPlace> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Ok(vec![ROOT_RUNTIME_DIR.into(), "/var/lib/shibudb/run".into()]);
    }
    let base = BaseDirs::new();
    let homes = [base.as_ref().map(|base| base.home_dir().to_owned()), Owner::of_this_process().home()];
    let states = homes.into_iter().flatten().map(|home| home.join(".local/state/shibudb"));
    let states: Vec<_> = state_home().into_iter().chain(states).collect();
    let runtime = base.and_then(|base| base.runtime_dir().map(Path::to_owned));
    let mut dirs =
        runtime_dirs_of(user.as_raw(), runtime, states, |dir| owner::would_own(user.as_raw(), dir));
    // Only root can create this one. It comes first, so that root finds the servers that it has started.
    let by_root = users_runtime_dir(user.as_raw());
    if fs::metadata(&by_root).is_ok_and(|found| found.uid() == user.as_raw()) {
        dirs.insert(0, by_root);
    }
    if dirs.is_empty() { Err(NoPlace::PidFile) } else { Ok(dirs) }
}

/// Where this user finds the PID files of servers: in [`runtime_dirs`]; for root, also in the directories of users to
/// which servers started by root have switched.
///
/// # Errors
/// As [`runtime_dirs`].
pub(crate) fn look_dirs() -> Result<Vec<PathBuf>, NoPlace> {
    let mut dirs = runtime_dirs()?;
    if rustix::process::geteuid().is_root() {
        let users = fs::read_dir(USERS_RUNTIME_DIR).map(|users| users.flatten().map(|user| user.path()));
        dirs.extend(users.into_iter().flatten());
    }
    Ok(dirs)
}

/// Makes the directory for the PID file of a server that root starts as this user.
///
/// # Errors
/// The system's error, or that other users may write to it.
pub(crate) fn make_users_runtime_dir(uid: u32) -> io::Result<()> {
    for dir in [Path::new(ROOT_RUNTIME_DIR), Path::new(USERS_RUNTIME_DIR)] {
        make_dir_of_root(dir)?;
        // Its users pass through it.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    let dir = users_runtime_dir(uid);
    private::make_dir(&dir)?;
    // Only root can have created an entry there.
    std::os::unix::fs::lchown(&dir, Some(uid), None)
}

fn users_runtime_dir(uid: u32) -> PathBuf {
    Path::new(USERS_RUNTIME_DIR).join(uid.to_string())
}

fn make_dir_of_root(dir: &Path) -> io::Result<()> {
    private::make_dir(dir)?;
    let found = fs::symlink_metadata(dir)?;
    if found.is_dir() && found.uid() == 0 { Ok(()) } else { Err(owner::belongs_to(found.uid())) }
}

fn runtime_dirs_of(
    user: u32,
    runtime: Option<PathBuf>,
    states: Vec<PathBuf>,
    may_be_ours: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let in_state = states.into_iter().map(|dir| dir.join("run"));
    // The directory of a login session, on a system with systemd; earlier versions left the file there.
    let of_logins = runtime.into_iter().chain([format!("/run/user/{user}").into()]);
    let mut dirs = Vec::new();
    for dir in in_state.chain(of_logins.map(|dir: PathBuf| dir.join("shibudb"))) {
        if dir.is_absolute() && !dirs.contains(&dir) && may_be_ours(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// Prepares the directory for PID files, and a directory in it for the sockets of one start.
///
/// # Errors
/// The system's error, or that other users may write to it.
pub(crate) fn make_runtime_dir(dir: &Path) -> io::Result<TempDir> {
    let is_new = !dir.try_exists()?;
    private::make_dir(dir)?;
    if is_new && dir == Path::new(ROOT_RUNTIME_DIR) {
        // The service has a socket below it, which its clients must reach.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    let found = fs::metadata(dir)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(owner::belongs_to(found.uid()));
    }
    // Other users could replace our files there.
    private::take_away(&dir.join("."), 0o022)?;
    tempfile::Builder::new().prefix(".start-").tempdir_in(dir)
}

fn state_home() -> Option<PathBuf> {
    BaseDirs::new().and_then(|base| base.state_dir().map(|dir| dir.join("shibudb")))
}

/// A directory prepared by systemd. The variable lists several separated by colons; ours is the first.
fn prepared(variable: &str) -> Option<PathBuf> {
    let list = std::env::var_os(variable)?;
    std::env::split_paths(&list).next().filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_from_another_environment_is_looked_for() {
        let state = PathBuf::from("/home/u/.local/state/shibudb");
        let (of_login, in_home) = ("/run/user/1000/shibudb", "/home/u/.local/state/shibudb/run");
        for (runtime, states, expected) in [
            (Some("/run/user/1000"), vec![state.clone(), state.clone()], vec![in_home, of_login]),
            (None, vec![state.clone()], vec![in_home, of_login]),
            (Some("/run/user/1000"), vec![], vec![of_login]),
            (Some("/tmp/x"), vec![state], vec![in_home, "/tmp/x/shibudb", of_login]),
            (None, vec![], vec![of_login]),
        ] {
            let dirs = runtime_dirs_of(1000, runtime.map(PathBuf::from), states, |_| true);
            assert_eq!(dirs, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>(), "{runtime:?}");
        }
    }

    #[test]
    fn a_directory_of_another_user_does_not_count() {
        let dirs = runtime_dirs_of(
            1001,
            Some("/run/user/1000".into()),
            vec!["/home/u/.local/state/shibudb".into()],
            |dir| dir.starts_with("/home"),
        );
        assert_eq!(dirs, [PathBuf::from("/home/u/.local/state/shibudb/run")]);
    }
}
