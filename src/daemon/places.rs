//! Where files are: config, data, run-time state.
//!
//! Data goes where the command line says, else the config file, else to what systemd prepared
//! (`StateDirectory=`), else to the place of the user: the system's for root, the XDG directories for anyone
//! else. Run-time state always goes to the place of the user: only `start` leaves any.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use tempfile::TempDir;

use crate::private;

/// Where root leaves PID files.
const ROOT_RUNTIME_DIR: &str = "/run/shibudb";

/// The config file that is read when none is named, if it exists.
pub const DEFAULT_CONFIG: &str = "/etc/shibudb/shibudb.toml";

/// This user has no directory for it.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    /// Neither a data directory was named nor is there a home to put one into.
    #[error(
        "cannot tell where to keep data: this user has no home directory; name a directory with --data-dir"
    )]
    Data,
    /// Nor is there one for the PID file.
    #[error(
        "cannot tell where to keep the PID file: this user owns neither a home directory nor a runtime directory; \
         `shibudb run` needs none"
    )]
    PidFile,
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
    state_home().ok_or(NoPlace::Data)
}

/// Where `start` may leave the PID file of what it has begun, the best place first; and so where `stop` looks.
///
/// What the environment names is not trusted: `XDG_RUNTIME_DIR` goes when its user logs out, and after `su` it is
/// somebody else's. So the place is in the user's home if there is one, and a directory of another user does not count.
///
/// # Errors
/// [`NoPlace`] for a user who has no directory at all.
pub fn runtime_dirs() -> Result<Vec<PathBuf>, NoPlace> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Ok(vec![ROOT_RUNTIME_DIR.into(), "/var/lib/shibudb/run".into()]);
    }
    let base = BaseDirs::new();
    let homes = [base.as_ref().map(|base| base.home_dir().to_owned()), home_of(user.as_raw())];
    let states = homes.into_iter().flatten().map(|home| home.join(".local/state/shibudb"));
    let states: Vec<_> = state_home().into_iter().chain(states).collect();
    let runtime = base.and_then(|base| base.runtime_dir().map(Path::to_owned));
    let dirs = runtime_dirs_of(user.as_raw(), runtime, states, |dir| may_be_of(user.as_raw(), dir));
    if dirs.is_empty() { Err(NoPlace::PidFile) } else { Ok(dirs) }
}

fn runtime_dirs_of(
    user: u32,
    runtime: Option<PathBuf>,
    states: Vec<PathBuf>,
    may_be_ours: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let in_state = states.into_iter().map(|dir| dir.join("run"));
    // Where a login has it, on a system with systemd; and where earlier versions left the file.
    let of_logins = runtime.into_iter().chain([format!("/run/user/{user}").into()]);
    let mut dirs = Vec::new();
    for dir in in_state.chain(of_logins.map(|dir: PathBuf| dir.join("shibudb"))) {
        if dir.is_absolute() && !dirs.contains(&dir) && may_be_ours(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// Whether the directory is this user's, or would be if it were made.
fn may_be_of(user: u32, dir: &Path) -> bool {
    let nearest = dir.ancestors().find_map(|dir| fs::metadata(dir).ok());
    nearest.is_some_and(|found| found.is_dir() && found.uid() == user)
}

/// Makes the directory for PID files ready, and a directory in it for the sockets of one start.
///
/// # Errors
/// What the system says, or that others may put files there.
pub fn make_runtime_dir(dir: &Path) -> io::Result<TempDir> {
    let is_new = !dir.try_exists()?;
    private::make_dir(dir)?;
    if is_new && dir == Path::new(ROOT_RUNTIME_DIR) {
        // The service has a socket below it, which its clients must reach.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    let found = fs::metadata(dir)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to another user (uid {})", found.uid())));
    }
    // Where others could put files of their own in the place of ours.
    private::take_away(&dir.join("."), 0o022)?;
    tempfile::Builder::new().prefix(".start-").tempdir_in(dir)
}

/// The home directory that the system has for a user, whatever the environment says.
fn home_of(user: u32) -> Option<PathBuf> {
    nix::unistd::User::from_uid(user.into()).ok().flatten().map(|user| user.dir)
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
        let dir = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        assert!(may_be_of(me, dir.path()) && may_be_of(me, &dir.path().join("not/yet")));
        assert!(!may_be_of(me + 1, dir.path()) && !may_be_of(me + 1, &dir.path().join("not/yet")));
    }
}
