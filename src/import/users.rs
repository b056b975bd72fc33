//! `users.json`: the users.
//!
//! A list of users, or an object of users by name; either may be in a field `users`. A user is an
//! object with `username` (or `name`; in an object by name it may be left out), `password` (or
//! `password_hash`, `hash`: a bcrypt hash), `role` (`admin`; anything else is a user) and
//! `permissions` (an object of `read` or `write` by space).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json::{self, Document, Item};
use super::{LeftOut, SourceError};
use crate::auth::{Account, ImportedHash, Permission, Role};
use crate::store::{SpaceError, check_name};

/// An importable user.
#[derive(Debug)]
pub struct FoundUser {
    /// Its name and rights.
    pub account: Account,
    /// The hash of its password.
    pub hash: ImportedHash,
}

/// The users in the file. Those that cannot be imported go to `left_out`.
pub(super) fn find(file: &Document, left_out: &mut Vec<LeftOut>) -> Result<Vec<FoundUser>, SourceError> {
    let mut users = Vec::new();
    for (number, item) in file.items("users")?.into_iter().enumerate() {
        let nameless = format!("number {} of users.json", number + 1);
        let fields = item.value.as_object();
        let name = fields.and_then(|fields| json::text(fields, &["username", "name"])).or(item.name);
        match user(&item, name, left_out) {
            Ok(user) => users.push(user),
            Err(why) => left_out.push(LeftOut::user(name.unwrap_or(&nameless), why)),
        }
    }
    Ok(users)
}

fn user(item: &Item<'_>, name: Option<&str>, left_out: &mut Vec<LeftOut>) -> Result<FoundUser, String> {
    let fields = item.value.as_object().ok_or("it is not an object")?;
    let username = name.ok_or("it has no name")?.to_owned();
    let hash = json::text(fields, &["password", "passwordhash", "hash"]).ok_or("it has no password")?;
    let hash = ImportedHash::parse(hash).map_err(|error| error.to_string())?;
    let role = match json::text(fields, &["role"]) {
        Some(role) if role.eq_ignore_ascii_case(Role::Admin.name()) => Role::Admin,
        _ => Role::User,
    };
    let permissions = match json::field(fields, &["permissions"]) {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(permissions)) => known_permissions(&username, permissions, left_out),
        Some(_) => return Err("its permissions are not an object of read or write by space".into()),
    };
    Ok(FoundUser { account: Account::new(username, role, permissions), hash })
}

fn known_permissions(
    username: &str,
    permissions: &Map<String, Value>,
    left_out: &mut Vec<LeftOut>,
) -> BTreeMap<String, Permission> {
    let mut known = BTreeMap::new();
    for (space, access) in permissions {
        let named = access.as_str().map(str::to_ascii_lowercase);
        let Some(permission) = named.as_deref().and_then(Permission::from_name) else {
            let what = format!("permission of user {username:?} for space {space:?}");
            left_out.push(LeftOut { what, why: format!("{access} is neither read nor write") });
            continue;
        };
        match check_name(space) {
            Ok(()) => drop(known.insert(space.clone(), permission)),
            Err(error) => {
                let what = format!("permission of user {username:?} for space {space:?}");
                left_out.push(LeftOut { what, why: SpaceError::from(error).to_string() });
            }
        }
    }
    known
}
