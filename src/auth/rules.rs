//! The rules for passwords and permissions. Those for names are in [`names`](crate::names).

use std::collections::BTreeMap;

use super::{AccountError, Permission};

pub use crate::names::MAX_LEN as MAX_USERNAME_LEN;

/// The longest password, in bytes of UTF-8.
pub const MAX_PASSWORD_LEN: usize = 1024;
/// The most permissions of one user.
pub(crate) const MAX_PERMISSIONS: usize = 10_000;

pub(super) fn check_password(password: &str) -> Result<(), AccountError> {
    Err(AccountError::InvalidPassword(match password {
        "" => "must not be empty",
        long if long.len() > MAX_PASSWORD_LEN => "must not exceed 1024 bytes",
        _ => return Ok(()),
    }))
}

/// Whether a user can have these permissions. A space whose name is no longer allowed is fine if
/// `is_known`: it may be older than the rule.
pub(super) fn check_permissions(
    permissions: &BTreeMap<String, Permission>,
    is_known: impl Fn(&str) -> bool,
) -> Result<(), AccountError> {
    if permissions.len() > MAX_PERMISSIONS {
        return Err(AccountError::InvalidPermissions("must not exceed 10000 per user"));
    }
    if permissions.keys().any(|space| crate::store::check_name(space).is_err() && !is_known(space)) {
        return Err(AccountError::InvalidPermissions("must name spaces that can exist"));
    }
    Ok(())
}
