//! The token that a client has to send, and the file that holds it.
//!
//! Any user who can read the file can use the API, so a file that everyone can read is refused like an empty one:
//! neither protects anything. The token is never logged, and never shown in an error.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::reading;

/// The most bytes a token file may have.
const LARGEST_FILE: u64 = 4096;

/// The mode bits of users other than the owner and the group.
const OTHERS: u32 = 0o007;

/// The secret that server and client share. Cannot be shown by accident.
#[derive(Clone)]
pub struct Token(String);

/// Why a token file cannot be used. Displayed with its path, never with its content.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is missing or unreadable.
    #[error("token file {path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is not a regular file.
    #[error("token file {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Its permissions let everyone read it.
    #[error(
        "token file {path} is accessible to every user of this machine (mode {mode:04o}); restrict it with `chmod o= \
         {path}`", path = path.display()
    )]
    OpenToAll {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is empty.
    #[error(
        "token file {path} is empty; make a token with `openssl rand -hex 32 > {path}`",
        path = .0.display()
    )]
    Empty(PathBuf),
    /// Its content cannot be sent in a header.
    #[error(
        "token file {} does not hold a token: expected one line of printable ASCII without spaces",
        .0.display()
    )]
    Malformed(PathBuf),
}

impl Token {
    /// Reads the token in the file at `path`; the line break behind it is not part of it.
    ///
    /// # Errors
    /// A [`TokenError`]; it names the file.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::read_whole(path).map(|(token, _)| token)
    }

    /// The same, and whether the file ends with a line break: without one it may be incomplete.
    pub(crate) fn read_whole(path: &Path) -> Result<(Self, bool), TokenError> {
        let unreadable = |source| TokenError::Read { path: path.to_owned(), source };
        let file = reading::open(path, |metadata| check(path, metadata), unreadable)?;
        let text = reading::up_to(file, LARGEST_FILE).map_err(unreadable)?;
        let malformed = || TokenError::Malformed(path.to_owned());
        let text = String::from_utf8(text).map_err(|_| malformed())?;
        let token = text.trim_end_matches(['\r', '\n']);
        if token.is_empty() {
            return Err(TokenError::Empty(path.to_owned()));
        }
        if text.len() as u64 > LARGEST_FILE || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed());
        }
        Ok((Self(token.to_owned()), text.ends_with('\n')))
    }

    /// The secret itself, for the sender.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this token. The duration reveals neither how much of it is right nor how long the token
    /// is: always whole digests are compared.
    pub(super) fn is(&self, candidate: &[u8]) -> bool {
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(candidate)).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Token {}

impl TokenError {
    /// Whether the reason is only that this user may not read it; another one, such as the server's, may.
    pub(crate) fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), TokenError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(TokenError::NotAFile(path.to_owned()));
    }
    if mode & OTHERS != 0 {
        return Err(TokenError::OpenToAll { path: path.to_owned(), mode });
    }
    Ok(())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token("correct-horse".into());
        assert!(token.is(b"correct-horse"));
        for other in [&b""[..], b"correct-hors", b"correct-horse ", b"Correct-horse", b"\0"] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
