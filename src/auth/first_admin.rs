//! The password of the first admin, when nobody has given one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The name of the first admin.
pub(super) const USERNAME: &str = "admin";

const FILE: &str = "initial-admin-password";

/// Without those that are mistaken for each other. 32, so that each carries 5 bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 130 bits.
const LEN: usize = 26;

/// Makes up a password and writes it to a file in `dir` that only the owner can read. It is on
/// disk when this returns: an account made with it later is never one that nobody can use.
pub(super) fn write_password(dir: &Path) -> Result<(PathBuf, String), (PathBuf, io::Error)> {
    let path = dir.join(FILE);
    match try_write(dir, &path) {
        Ok(password) => Ok((path, password)),
        Err(error) => Err((path, error)),
    }
}

/// Forgets a password that was written for an account that never came to be.
pub(super) fn remove_stale(dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let path = dir.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
        _ => Ok(()),
    }
}

fn try_write(dir: &Path, path: &Path) -> io::Result<String> {
    let mut random = [0; LEN];
    getrandom::fill(&mut random)?;
    let password: String =
        random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Whatever the umask.
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{password}")?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(password)
}
