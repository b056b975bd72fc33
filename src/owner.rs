//! Users of this system: their names, the ownership of files, and switching to a user.
//!
//! A server of another user cannot read the files that a server of root creates. So root does not write in the
//! directory of another user: `start` switches to that user, all other commands refuse and name the command to use.
//!
//! Names come from the system's name service, which may be slow: call this from commands and at the start of the
//! daemon, never on a thread that serves clients.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

/// The group of a user without one.
const NOGROUP: u32 = 65534;

/// A user of this system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    /// As `sudo -u` takes it: the name, or `#997` for a user without one.
    pub(crate) name: String,
}

/// A file or directory that belongs to another user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) path: PathBuf,
    pub(crate) owner: Owner,
}

impl Owner {
    pub(crate) fn of_uid(uid: u32) -> Self {
        Self { uid, name: name_of(uid).unwrap_or_else(|| format!("#{uid}")) }
    }

    /// The user that this process runs as.
    pub(crate) fn of_this_process() -> Self {
        Self::of_uid(rustix::process::geteuid().as_raw())
    }

    /// Switches the whole process to this user, permanently.
    ///
    /// # Errors
    /// The system's error: this process is not root, or may not change users.
    pub(crate) fn become_it(&self) -> io::Result<()> {
        let user = User::from_uid(self.uid.into())?;
        if let Some(user) = user {
            let name = CString::new(user.name)?;
            nix::unistd::initgroups(&name, user.gid)?;
            nix::unistd::setgid(user.gid)?;
        } else {
            nix::unistd::setgroups(&[])?;
            // A group of the same number may belong to anyone.
            nix::unistd::setgid(Gid::from_raw(NOGROUP))?;
        }
        nix::unistd::setuid(Uid::from_raw(self.uid))?;
        Ok(())
    }

    /// The command line that gives a directory to this user and the user's login group. A user without a name has no
    /// login group, and `chown` takes the number as it is.
    pub(crate) fn to_be_given(&self, dir: &Path) -> String {
        let user = self.name.strip_prefix('#').map_or_else(|| format!("{}:", self.name), str::to_owned);
        shell_words::join(["chown", "-R", &user, &dir.to_string_lossy()])
    }

    /// The user's home directory according to the system.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        User::from_uid(self.uid.into()).ok().flatten().map(|user| user.dir)
    }

    /// The command line of this process with `sudo -u` for this user. It names the data directory, because the default
    /// of that user may differ.
    pub(crate) fn command(&self, data_dir: &Path) -> String {
        command_line(&self.name, std::env::args_os().skip(1), data_dir)
    }
}

/// The name of a user, if the name service has one.
pub(crate) fn name_of(uid: u32) -> Option<String> {
    User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}

/// The other user in whose directory root would work: if this process runs as root, the owner of the directory, or its
/// owner if that user created it.
pub(crate) fn beside_root(dir: &Path) -> Option<Foreign> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // The next user of the directory reports a failed look-up.
    let (path, found) = nearest(dir)?;
    (found.uid() != 0).then(|| Foreign { path: path.to_owned(), owner: Owner::of_uid(found.uid()) })
}

/// Whether the directory is this user's, or would be if it were created.
pub(crate) fn would_own(uid: u32, dir: &Path) -> bool {
    nearest(dir).is_some_and(|(_, found)| found.is_dir() && found.uid() == uid)
}

/// The directory, or its nearest existing ancestor, which decides who would own it.
fn nearest(dir: &Path) -> Option<(&Path, fs::Metadata)> {
    let here = |dir: &Path| dir.as_os_str().is_empty();
    let above = dir.ancestors().map(|dir| if here(dir) { Path::new(".") } else { dir });
    above.into_iter().find_map(|dir| Some((dir, fs::metadata(dir).ok()?)))
}

/// The error for something that belongs to another user.
pub(crate) fn belongs_to(uid: u32) -> io::Error {
    io::Error::other(format!("it belongs to user {}", Owner::of_uid(uid).name))
}

/// The first of `dir` and everything below it that belongs to another user and that this one may not read and write:
/// left by a server of that user, or by a backup that root has restored. Directly in `dir` only names count for which
/// `is_ours` returns true. Symbolic links are not followed.
pub(crate) fn foreign(dir: &Path, is_ours: fn(&OsStr) -> bool) -> Option<Foreign> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let found = fs::symlink_metadata(dir.join(".")).ok()?;
    foreign_among(dir.to_owned(), &found, rustix::process::geteuid().as_raw(), is_ours)
}

fn foreign_among(
    path: PathBuf,
    found: &fs::Metadata,
    us: u32,
    is_ours: fn(&OsStr) -> bool,
) -> Option<Foreign> {
    use rustix::fs::Access;
    let wanted = Access::READ_OK | Access::WRITE_OK;
    if found.uid() != us && !found.is_symlink() && rustix::fs::access(&path, wanted).is_err() {
        return Some(Foreign { path, owner: Owner::of_uid(found.uid()) });
    }
    if !found.is_dir() {
        return None;
    }
    let mut entries: Vec<_> = fs::read_dir(&path).ok()?.flatten().collect();
    entries.retain(|entry| is_ours(&entry.file_name()));
    entries.sort_by_key(fs::DirEntry::file_name);
    entries.into_iter().find_map(|entry| {
        let found = entry.metadata().ok()?;
        foreign_among(entry.path(), &found, us, |_| true)
    })
}

fn command_line(user: &str, arguments: impl Iterator<Item = OsString>, data_dir: &Path) -> String {
    let text = |word: &OsStr| word.to_string_lossy().into_owned();
    // An internal option, which users do not type.
    let arguments = arguments.filter(|word| word != "--admin-password-on-stdin");
    let mut words = vec!["sudo".to_owned(), "-u".to_owned(), user.to_owned(), "shibudb".to_owned()];
    words.extend(arguments.map(|word| text(&word)));
    if !words.iter().any(|word| word == "--data-dir" || word.starts_with("--data-dir=")) {
        words.extend(["--data-dir".to_owned(), text(data_dir.as_os_str())]);
    }
    shell_words::join(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is() {
        for (arguments, expected) in [
            (vec!["run", "9090", "1000"], "sudo -u db shibudb run 9090 1000 --data-dir '/var/lib/my db'"),
            (vec!["import", "old", "--data-dir", "x"], "sudo -u db shibudb import old --data-dir x"),
            (
                vec!["run", "--admin-password-on-stdin", "--data-dir=x"],
                "sudo -u db shibudb run '--data-dir=x'",
            ),
        ] {
            let arguments = arguments.into_iter().map(OsString::from);
            assert_eq!(command_line("db", arguments, Path::new("/var/lib/my db")), expected);
        }
    }

    #[test]
    fn a_directory_would_be_of_whom_the_one_above_is() {
        let dir = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        for dir in [dir.path(), &dir.path().join("not/yet")] {
            assert!(would_own(me, dir) && !would_own(me + 1, dir), "{dir:?}");
        }
    }

    #[test]
    fn users_have_their_names_and_others_a_number() {
        let (root, other) = (Owner::of_uid(0), Owner::of_uid(4_000_123));
        assert_eq!((root.name.as_str(), other.name.as_str()), ("root", "#4000123"));
        assert_eq!(root.to_be_given(Path::new("/my db")), "chown -R root: '/my db'");
        assert_eq!(other.to_be_given(Path::new("/db")), "chown -R 4000123 /db");
        let command = command_line(&other.name, std::iter::once("run".into()), Path::new("/db"));
        assert_eq!(command, "sudo -u '#4000123' shibudb run --data-dir /db");
    }
}
