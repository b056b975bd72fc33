//! Files that belong to this user alone: how they are created, opened and kept private.
//!
//! Only this user may read what is stored here (values, password hashes, the password of the first admin), whatever the
//! caller's umask and whatever modes an earlier version or an administrator has left. A symbolic link is not followed
//! where one of our own files is expected: anyone who can write to the directory could point it anywhere.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::{owner, reading};

/// The mode bits that the group and others must not have on our files.
const OTHERS: u32 = 0o077;

/// Makes everything this process creates private to its user, whatever the caller's umask is.
pub(crate) fn set_umask() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS));
}

/// The options for one of our files: created for its owner alone, never through a symbolic link, and without waiting
/// for the other end of a named pipe.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens one of our files with `options`, and refuses anything but a regular file.
///
/// # Errors
/// The system's error, or what is in the file's place.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = options.open(path).map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => {
            let words = format!("{} is a symbolic link, which is not followed; remove it", path.display());
            io::Error::new(error.kind(), words)
        }
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file(path)) }
}

fn not_a_file(path: &Path) -> io::Error {
    io::Error::other(format!("{} is not a regular file", path.display()))
}

/// Whether `path` still leads to this very file.
///
/// # Errors
/// The system's error, except that the file does not exist.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the whole of one of our files.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path, options().read(true))?.read_to_end(&mut content)?;
    Ok(content)
}

/// Reads one of our files that should have at most `most` bytes; of a larger one, one byte more.
///
/// # Errors
/// As [`open`].
pub(crate) fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    reading::up_to(open(path, options().read(true))?, most as u64)
}

/// Creates a directory and its parents for this user alone. An existing one stays as it is.
///
/// # Errors
/// The system's error.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The result of [`mend`].
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// How many files and directories others had access to, and now have not.
    pub(crate) closed: u64,
    /// The first one that others can still access, and why.
    pub(crate) open: Option<(Box<Path>, String)>,
    /// The number of those.
    pub(crate) left_open: u64,
}

/// Removes the permissions of other users on `path`, and on everything in it if it is a directory.
///
/// Files of another user stay as they are. Symbolic links are not followed, except `path` itself if it leads to a
/// directory: an administrator may have moved that elsewhere.
pub(crate) fn mend(path: &Path) -> Mended {
    let mut mended = Mended::default();
    let is_linked_dir = || fs::metadata(path).is_ok_and(|found| found.is_dir());
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && is_linked_dir() => mended.visit(&path.join(".")),
        Ok(_) => mended.visit(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => mended.leave(path, || error),
    }
    mended
}

/// Removes these bits from the mode of one file or directory, which must be this user's own.
///
/// # Errors
/// The system's error, or that it belongs to another user.
pub(crate) fn take_away(path: &Path, bits: u32) -> io::Result<bool> {
    match take_away_if_ours(path, bits)? {
        Taken::Nothing => Ok(false),
        Taken::Bits => Ok(true),
        Taken::Foreign(uid) => Err(owner::belongs_to(uid)),
    }
}

/// The result of removing bits from the mode of a file.
enum Taken {
    Nothing,
    Bits,
    /// Nothing, because the file belongs to this other user.
    Foreign(u32),
}

/// As [`take_away`], without looking up the name of another owner.
fn take_away_if_ours(path: &Path, bits: u32) -> io::Result<Taken> {
    // Changed through a descriptor, so that it is the file that was checked.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    let mode = found.mode() & 0o7777;
    if mode & bits == 0 {
        return Ok(Taken::Nothing);
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(Taken::Foreign(found.uid()));
    }
    file.set_permissions(Permissions::from_mode(mode & !bits))?;
    Ok(Taken::Bits)
}

impl Mended {
    /// The sum of two results.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.closed += other.closed;
        self.left_open += other.left_open;
        self.open = self.open.or(other.open);
        self
    }

    fn visit(&mut self, path: &Path) {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            // A file that has gone meanwhile is accessible to no one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.leave(path, || error),
        };
        // The configuration sets the modes of sockets; the mode of a link means nothing.
        if !found.is_file() && !found.is_dir() {
            return;
        }
        if found.mode() & OTHERS != 0 {
            match take_away_if_ours(path, OTHERS) {
                Ok(Taken::Nothing) => {}
                Ok(Taken::Bits) => self.closed += 1,
                Ok(Taken::Foreign(uid)) => self.leave(path, || owner::belongs_to(uid)),
                Err(error) => self.leave(path, || error),
            }
        }
        if found.is_dir() {
            match fs::read_dir(path) {
                Ok(entries) => entries.flatten().for_each(|entry| self.visit(&entry.path())),
                Err(error) => self.leave(path, || error),
            }
        }
    }

    /// Only the first gets a reason: the text may need a slow lookup, and there may be many files.
    fn leave(&mut self, path: &Path, why: impl FnOnce() -> io::Error) {
        self.left_open += 1;
        self.open.get_or_insert_with(|| (path.into(), why().to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn make(path: &Path, mode: u32) {
        fs::write(path, "text").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_link_is_not_followed_and_a_pipe_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link, pipe) =
            (dir.path().join("target"), dir.path().join("link"), dir.path().join("pipe"));
        make(&target, 0o600);
        symlink(&target, &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(read(&link).unwrap_err().to_string().contains("symbolic link"));
        assert!(open(&link, options().append(true).create(true)).is_err());
        assert!(read(&pipe).is_err() && open(&pipe, options().write(true)).is_err());
        assert_eq!(read(&target).unwrap(), b"text");
    }

    #[test]
    fn all_that_is_below_is_closed_and_nothing_that_is_linked() {
        let dir = tempfile::tempdir().unwrap();
        let (store, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
        let inner = store.join("keyspaces").join("1");
        fs::create_dir_all(&inner).unwrap();
        make(&store.join("0.jnl"), 0o644);
        make(&inner.join("current"), 0o666);
        make(&elsewhere, 0o644);
        symlink(&elsewhere, store.join("link")).unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o2777)).unwrap();
        let mended = mend(&store);
        assert!(mended.closed >= 3 && mended.left_open == 0, "{mended:?}");
        assert_eq!(mode(&store.join("0.jnl")), 0o600);
        assert_eq!(mode(&inner.join("current")), 0o600);
        assert_eq!(mode(&inner), 0o2700);
        assert_eq!(mode(&elsewhere), 0o644);
        assert_eq!(mend(&store).closed, 0);
        assert_eq!(mend(&dir.path().join("missing")).left_open, 0);
    }
}
