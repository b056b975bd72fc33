//! The first admin, and its password if none was given.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::hasher::Lane;
use super::rules::check_password;
use super::{Account, AccountError, Accounts, Role};
use crate::private;

/// The name of the first admin.
const USERNAME: &str = "admin";

const FILE: &str = "initial-admin-password";

/// Without characters that are easily confused. 32, so that each carries 5 bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 130 bits.
const LEN: usize = 26;

/// How the first admin was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstAdmin {
    /// There are users already; nothing was done.
    NotNeeded,
    /// Created with the password that was given.
    Given,
    /// Created with a random password, written to this file.
    Written(PathBuf),
}

/// A first admin whose password is chosen and whose account is not created yet.
pub struct PreparedAdmin {
    accounts: Accounts,
    password: String,
    outcome: FirstAdmin,
    /// Held so that no other caller creates an account first.
    _changing: OwnedMutexGuard<()>,
}

/// Why there is no first admin.
#[derive(Debug, thiserror::Error)]
pub enum FirstAdminError {
    /// The file for the password could not be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There was an administrator, but the store has no account.
    #[error(
        "{} had user accounts, but they are missing, and shibudb does not create a second first administrator; \
         restore the data directory from a backup, or move it away to start empty",
        path.display()
    )]
    AccountsGone {
        /// The data directory.
        path: PathBuf,
    },
    /// The manifest could not record that there is an administrator.
    #[error("cannot write the manifest of the store: {0}")]
    Manifest(#[source] io::Error),
    /// The account could not be created.
    #[error("cannot create the first admin: {0}")]
    Account(#[from] AccountError),
}

impl Accounts {
    /// If there are no users, creates `admin` with the password `given`, or with a random one that
    /// it writes to `initial-admin-password` in `dir`, readable by the owner alone.
    ///
    /// # Errors
    /// [`FirstAdminError`] if the file or the account could not be written.
    pub async fn ensure_admin(&self, given: Option<&str>, dir: &Path) -> Result<FirstAdmin, FirstAdminError> {
        match self.prepare_admin(given, dir).await? {
            Some(admin) => admin.create().await,
            None => Ok(FirstAdmin::NotNeeded),
        }
    }

    /// The same without the hash, which takes longer than all the rest of a start. From here on every login
    /// waits until the account is created, so a server may let clients in meanwhile.
    ///
    /// The file is written before the account: after a crash in between there are still no users, and
    /// the next start begins anew.
    ///
    /// # Errors
    /// [`FirstAdminError`] if the given password is invalid, the file could not be written, or there have been
    /// accounts before.
    pub async fn prepare_admin(
        &self,
        given: Option<&str>,
        dir: &Path,
    ) -> Result<Option<PreparedAdmin>, FirstAdminError> {
        let changing = Arc::clone(&self.inner.changing).lock_owned().await;
        if !self.is_empty() {
            // The account is from a version that did not record it, or from a start that ended too early.
            // On a full disk there is an administrator all the same.
            if let Err(error) = self.note_admin().await {
                tracing::warn!(%error, "could not record that this data directory has an administrator: {error}");
            }
            return Ok(None);
        }
        if self.inner.store.has_had_admin() {
            return Err(FirstAdminError::AccountsGone { path: dir.into() });
        }
        let file_error = |(path, source)| FirstAdminError::File { path, source };
        remove_stale(dir).map_err(file_error)?;
        let (password, outcome) = match given {
            Some(password) => (password.to_owned(), FirstAdmin::Given),
            None => {
                let (path, password) = write_password(dir).map_err(file_error)?;
                (password, FirstAdmin::Written(path))
            }
        };
        check_password(&password)?;
        Ok(Some(PreparedAdmin { accounts: self.clone(), password, outcome, _changing: changing }))
    }
}

impl Accounts {
    /// Records permanently that there is an administrator. Waits for the disk on another thread.
    async fn note_admin(&self) -> Result<(), FirstAdminError> {
        let store = self.inner.store.clone();
        let noted = tokio::task::spawn_blocking(move || store.note_admin()).await;
        noted.map_err(io::Error::other).flatten().map_err(FirstAdminError::Manifest)
    }
}

impl PreparedAdmin {
    /// Creates the account.
    ///
    /// # Errors
    /// [`FirstAdminError`] if it could not be written.
    pub async fn create(self) -> Result<FirstAdmin, FirstAdminError> {
        let hashing = self.accounts.inner.hasher.hash(&self.password, Lane::Change);
        let hash = hashing.await.map_err(AccountError::from)?;
        let account = Account::new(USERNAME.to_owned(), Role::Admin, BTreeMap::new());
        self.accounts.replace(account, hash.into()).await?;
        // After the account: the other way round, a crash in between would leave a directory with no usable account.
        self.accounts.note_admin().await?;
        Ok(self.outcome)
    }
}

impl fmt::Debug for PreparedAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("PreparedAdmin").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Generates a password and writes it to a file in `dir` that only the owner can read. It is on
/// disk when this returns, so the password of an account made with it later is never lost.
fn write_password(dir: &Path) -> Result<(PathBuf, String), (PathBuf, io::Error)> {
    let path = dir.join(FILE);
    match try_write(dir, &path) {
        Ok(password) => Ok((path, password)),
        Err(error) => Err((path, error)),
    }
}

/// Removes the password of an account that was never created.
fn remove_stale(dir: &Path) -> Result<(), (PathBuf, io::Error)> {
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
    // A link at this path is an error: nothing is ever written through one.
    let mut file = private::open(path, private::options().write(true).create_new(true))?;
    // Regardless of the umask.
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{password}")?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(password)
}
