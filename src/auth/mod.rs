//! Users, roles, permissions, password verification.

mod account;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use account::{Account, NewUser, Permission, Role};

use crate::store::{Store, StoreError};

/// What one password hash costs whoever computes it: argon2id with one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for HashCost {
    /// The minimum that OWASP recommends.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

/// All users, and the only way to become one of them. A cheap handle.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
}

/// The login was refused. It does not say why: neither whether the user exists nor what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct LoginError;

/// Why the users were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is a user of this name.
    #[error("user already exists")]
    UserExists,
    /// There is no user of this name.
    #[error("user not found")]
    UserNotFound,
    /// Nobody could administer the server any more.
    #[error("the last admin cannot be deleted or demoted")]
    LastAdmin,
    /// No user can be called that.
    #[error("invalid user name: {0}")]
    InvalidName(&'static str),
    /// No password can be that.
    #[error("invalid password: {0}")]
    InvalidPassword(&'static str),
    /// A permission names a space that cannot be.
    #[error("invalid permissions: {0}")]
    InvalidPermissions(&'static str),
    /// The password could not be hashed.
    #[error("cannot hash the password: {0}")]
    Hash(String),
    /// The change could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the first admin came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstAdmin {
    /// There are users already; nothing was done.
    NotNeeded,
    /// Created with the password that was given.
    Given,
    /// Created with a random password, written to this file.
    Written(PathBuf),
}

/// Why there is no first admin.
#[derive(Debug, thiserror::Error)]
pub enum FirstAdminError {
    /// The password could not be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The account could not be created.
    #[error(transparent)]
    Account(#[from] AccountError),
}

#[allow(clippy::unused_async, unused_variables, reason = "interim")]
impl Accounts {
    /// Loads all users.
    ///
    /// # Errors
    /// They could not be read.
    pub fn open(store: Store, cost: HashCost) -> Result<Self, StoreError> {
        Ok(Self { store })
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// If there are no users, creates `admin` with the password `given`, or with a random one that
    /// it writes to `initial-admin-password` in `dir`, readable by the owner alone.
    ///
    /// # Errors
    /// [`FirstAdminError`] if the file or the account could not be written.
    pub async fn ensure_admin(&self, given: Option<&str>, dir: &Path) -> Result<FirstAdmin, FirstAdminError> {
        Ok(FirstAdmin::NotNeeded)
    }

    /// Checks a password.
    ///
    /// # Errors
    /// [`LoginError`], whatever was wrong.
    pub async fn login(
        &self,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Arc<Account>, LoginError> {
        Err(LoginError)
    }

    /// Grows with every change of any account. A session re-reads its account when it moved.
    pub fn generation(&self) -> u64 {
        0
    }

    /// The account of `username`, if there is one.
    pub fn account(&self, username: &str) -> Option<Arc<Account>> {
        None
    }

    /// Creates a user.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create(&self, user: NewUser) -> Result<(), AccountError> {
        Ok(())
    }

    /// Gives a user a new password. It counts from the next login; open sessions stay.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_password(&self, username: &str, password: &str) -> Result<(), AccountError> {
        Err(AccountError::UserNotFound)
    }

    /// Gives a user a role.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_role(&self, username: &str, role: Role) -> Result<(), AccountError> {
        Err(AccountError::UserNotFound)
    }

    /// Replaces the permissions of a user.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_permissions(
        &self,
        username: &str,
        permissions: BTreeMap<String, Permission>,
    ) -> Result<(), AccountError> {
        Err(AccountError::UserNotFound)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn delete(&self, username: &str) -> Result<(), AccountError> {
        Err(AccountError::UserNotFound)
    }
}
