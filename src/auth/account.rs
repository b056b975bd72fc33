//! A user and its permissions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;

/// A snapshot of a user. Later changes of the account do not affect it: a holder looks the
/// account up again when the [generation](super::Accounts::generation) has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub username: String,
    /// The role.
    pub role: Role,
    /// What it may do, by name of space. Admins need none.
    pub permissions: BTreeMap<String, Permission>,
    /// The number of the account in this process. Changes keep it; an account created later under the same
    /// name gets another.
    pub(super) serial: u64,
}

named_enum! {
    /// What a user may do beyond its permissions.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Role {
        /// Everything.
        Admin = "admin",
        /// What its permissions say.
        User = "user",
    }
}

named_enum! {
    /// What a user may do with one space.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Permission {
        /// Read it.
        Read = "read",
        /// Read and write it.
        Write = "write",
    }
}

/// A user to be created. Its `Debug` does not show the password.
#[derive(Clone)]
pub struct NewUser {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The role.
    pub role: Role,
    /// The permissions, by name of space.
    pub permissions: BTreeMap<String, Permission>,
}

impl Account {
    /// A new account, distinct from all earlier ones.
    pub fn new(username: String, role: Role, permissions: BTreeMap<String, Permission>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { username, role, permissions, serial: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether this is the same account, perhaps changed meanwhile. The name is not enough: the user may have been
    /// deleted and another one created.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.serial == other.serial
    }

    /// Whether it may read the space of that name.
    pub fn may_read(&self, space: &str) -> bool {
        // Write includes read, so any permission will do.
        self.is_admin() || self.permissions.contains_key(space)
    }

    /// Whether it may write the space of that name.
    pub fn may_write(&self, space: &str) -> bool {
        self.is_admin() || self.permissions.get(space) == Some(&Permission::Write)
    }

    /// Whether it may do everything.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("username", &self.username)
            .field("role", &self.role)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_permissions_have_one_name_on_the_disk_and_in_words() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.name());
        }
    }
}
