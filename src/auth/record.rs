//! A user as it is stored, and as it is kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::account::{Account, Permission, Role};
use super::proof::Mac;
use crate::store::StoreError;

/// The prefix of the keys of users in the system area.
const PREFIX: &[u8] = b"user/";

/// One user. Immutable: a change replaces it with another, without the proof.
#[derive(Debug)]
pub(super) struct User {
    pub(super) account: Arc<Account>,
    /// The password's hash, as a PHC string.
    pub(super) hash: Arc<str>,
    /// The proof of the password that was verified against `hash`.
    pub(super) proof: OnceLock<Mac>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    hash: String,
    role: Role,
    permissions: BTreeMap<String, Permission>,
}

impl User {
    pub(super) fn new(account: Account, hash: Arc<str>) -> Self {
        Self { account: Arc::new(account), hash, proof: OnceLock::new() }
    }

    /// The stored entry's value.
    pub(super) fn to_value(&self) -> Result<Vec<u8>, StoreError> {
        let Account { role, permissions, .. } = &*self.account;
        let record = Record { hash: self.hash.to_string(), role: *role, permissions: permissions.clone() };
        serde_json::to_vec(&record).map_err(|_| StoreError::Damaged("cannot serialize a user record"))
    }

    /// The user of a stored entry; `None` if the entry is not a user's.
    pub(super) fn from_entry(key: &[u8], value: &[u8]) -> Result<Option<Self>, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("unreadable user record");
        let Some(username) = key.strip_prefix(PREFIX) else { return Ok(None) };
        let username = str::from_utf8(username).map_err(|_| DAMAGED)?.to_owned();
        let Record { hash, role, permissions } = serde_json::from_slice(value).map_err(|_| DAMAGED)?;
        Ok(Some(Self::new(Account::new(username, role, permissions), hash.into())))
    }
}

/// The stored entry's key.
pub(super) fn key(username: &str) -> Vec<u8> {
    [PREFIX, username.as_bytes()].concat()
}
