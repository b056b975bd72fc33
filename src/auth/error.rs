//! Errors of accounts.

use std::io;

use super::HashError;
use crate::names::{InvalidName, LooksLike};
use crate::store::StoreError;

/// The users could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// They could not be read.
    #[error("cannot read the users: {0}")]
    Store(#[from] StoreError),
    /// There are no threads or no randomness for it.
    #[error("cannot set up password verification: {0}")]
    Setup(#[from] io::Error),
}

/// The login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Deliberately vague: reveals neither whether the user exists nor what was wrong.
    #[error("authentication failed")]
    Denied,
    /// The password was not checked. It may be right.
    #[error("too many logins are waiting to be checked: try again later")]
    Busy,
}

/// Why the users were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The user name is taken.
    #[error("user already exists")]
    UserExists,
    /// There is no user of this name.
    #[error("user not found")]
    UserNotFound,
    /// No administrator would be left.
    #[error("the last admin cannot be deleted or demoted")]
    LastAdmin,
    /// The name is invalid.
    #[error("user name {0}")]
    InvalidName(#[from] InvalidName),
    /// The name looks like that of another user.
    #[error("user name {0}")]
    LooksLike(#[from] LooksLike),
    /// The password is invalid.
    #[error("password {0}")]
    InvalidPassword(&'static str),
    /// The permissions are invalid.
    #[error("permissions {0}")]
    InvalidPermissions(&'static str),
    /// The password could not be hashed.
    #[error("cannot hash the password: {0}")]
    Hash(#[from] HashError),
    /// The change could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}
