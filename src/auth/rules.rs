//! What can be a name, a password, and permissions.

use std::collections::BTreeMap;

use super::{AccountError, Permission};

/// The longest user name, in bytes of UTF-8.
pub const MAX_USERNAME_LEN: usize = 255;
/// The longest password, in bytes of UTF-8.
pub const MAX_PASSWORD_LEN: usize = 1024;
/// The most permissions of one user.
pub const MAX_PERMISSIONS: usize = 10_000;

pub(super) fn check_username(username: &str) -> Result<(), AccountError> {
    Err(AccountError::InvalidName(match username {
        "" => "must not be empty",
        long if long.len() > MAX_USERNAME_LEN => "must not exceed 255 bytes",
        name if name.chars().any(char::is_control) => "must not contain control characters",
        _ => return Ok(()),
    }))
}

pub(super) fn check_password(password: &str) -> Result<(), AccountError> {
    Err(AccountError::InvalidPassword(match password {
        "" => "must not be empty",
        long if long.len() > MAX_PASSWORD_LEN => "must not exceed 1024 bytes",
        _ => return Ok(()),
    }))
}

pub(super) fn check_permissions(permissions: &BTreeMap<String, Permission>) -> Result<(), AccountError> {
    if permissions.len() > MAX_PERMISSIONS {
        return Err(AccountError::InvalidPermissions("must not exceed 10000 per user"));
    }
    if permissions.keys().any(|space| crate::store::check_name(space).is_err()) {
        return Err(AccountError::InvalidPermissions("must name spaces that can exist"));
    }
    Ok(())
}
