//! Accounts that come from a ShibuDB server, with bcrypt hashes of their passwords.
//!
//! Such a hash is valid like any other. The first successful login replaces it with a hash of the current
//! kind, since only then is the password known.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use bcrypt::HashParts;

use super::hasher::Lane;
use super::rules::check_permissions;
use super::{Account, AccountError, Accounts};
use crate::names;

/// The highest accepted cost of a hash: some seconds. At cost 31 a single login would occupy a core
/// for days.
const HIGHEST_COST: u32 = 16;

/// How much of a password bcrypt uses, in bytes.
const LONGEST_PASSWORD: usize = 72;

/// A bcrypt hash of a password, as `$2a$10$...`.
#[derive(Clone)]
pub struct ImportedHash(Arc<str>);

/// This is not a bcrypt hash, or one that takes too long to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its password is not a bcrypt hash with a cost of at most {HIGHEST_COST}")]
pub struct InvalidHash;

impl ImportedHash {
    /// Checks a hash.
    ///
    /// # Errors
    /// [`InvalidHash`].
    pub fn parse(hash: &str) -> Result<Self, InvalidHash> {
        match HashParts::from_str(hash) {
            Ok(parts) if parts.get_cost() <= HIGHEST_COST => Ok(Self(hash.into())),
            _ => Err(InvalidHash),
        }
    }
}

impl fmt::Debug for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedHash(..)")
    }
}

impl Accounts {
    /// Imports a user with the hash of its password.
    ///
    /// # Errors
    /// [`AccountError`]; [`AccountError::UserExists`] if the name is taken, and that user stays as it is.
    pub async fn import(&self, account: Account, hash: ImportedHash) -> Result<(), AccountError> {
        names::check(&account.username)?;
        check_permissions(&account.permissions, |_| false)?;
        let _changing = self.changing().await?;
        if self.user(&account.username).is_some() {
            return Err(AccountError::UserExists);
        }
        self.replace(account, hash.0).await.map(drop)
    }

    /// Whether there is an account with all rights.
    pub(crate) fn has_admin(&self) -> bool {
        self.users().values().any(|user| user.account.is_admin())
    }

    /// A hash that is still an imported one, if there is any: every refusal also costs one of that kind,
    /// so that its time does not reveal the kind of a user's hash.
    pub(super) fn any_imported_hash(&self) -> Option<Arc<str>> {
        self.users().values().map(|user| &user.hash).find(|hash| is_imported(hash)).cloned()
    }

    /// Replaces the hash that `password` was just verified against with one of the current kind,
    /// if it is an imported one. The login stands, whether this succeeds or not.
    pub(super) async fn renew_if_imported(&self, username: &str, password: &str, old: &str) {
        // The new hash must not cover more of the password than was verified.
        if !is_imported(old) || password.len() > LONGEST_PASSWORD {
            return;
        }
        let renewed: Result<(), AccountError> = async {
            let hash = self.inner.hasher.hash(password, Lane::Login).await?;
            let _changing = self.changing().await?;
            match self.user(username) {
                Some(user) if *user.hash == *old => {
                    let user = self.replace((*user.account).clone(), hash.into()).await?;
                    self.prove(&user, password);
                    Ok(())
                }
                _ => Ok(()),
            }
        }
        .await;
        if let Err(error) = renewed {
            tracing::warn!(%error, username, "the imported password hash of {username} could not be renewed: {error}");
        }
    }
}

pub(super) fn is_imported(hash: &str) -> bool {
    hash.starts_with("$2")
}

/// Whether `password` matches an imported hash.
pub(super) fn verify(password: &str, hash: &str) -> bool {
    bcrypt::verify(password, hash).unwrap_or(false)
}
