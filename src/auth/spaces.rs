//! Creates and deletes spaces together with the rights to them.
//!
//! Rights name a space. So that they never apply to another space of the same name, a space is deleted in one
//! commit with all rights to it, and none is created between that commit and the moment when all those rights
//! are gone from memory too. Rights to a space that does not exist are granted in advance: an administrator has
//! named it, and they apply once it is created.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::MutexGuard;

use super::record::{self, User};
use super::{Account, AccountError, Accounts};
use crate::logging::AUDIT;
use crate::store::{SpaceError, StoreError};
use crate::unpoisoned::Unpoisoned as _;

/// Why a space was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteSpaceError {
    /// The store's error.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The rights to it could not be removed.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// A deletion that was reported as failed, and may have reached the disk.
pub(super) struct Doubt {
    space: String,
    /// The users that had rights to it, with those rights removed.
    without: Vec<Arc<User>>,
}

/// An entry of the system area that changes nothing.
const NOTHING: &[u8] = b"nothing";

impl Accounts {
    /// Creates a space without any rights left from before a deletion.
    ///
    /// # Errors
    /// The store's error.
    pub async fn create_space(&self, name: &str, wal: bool) -> Result<(), SpaceError> {
        let _changing = self.changing().await?;
        self.inner.store.create_space(name, wal).await
    }

    /// Deletes a space, its keys, and all users' rights to it: all of that or nothing.
    ///
    /// # Errors
    /// [`DeleteSpaceError`].
    pub async fn delete_space(&self, name: &str) -> Result<(), DeleteSpaceError> {
        let _changing = self.changing().await.map_err(SpaceError::Store)?;
        let without = self.without_rights_to(name);
        let entries = without.iter().map(|user| Ok((record::key(&user.account.username), user.to_value()?)));
        let entries = entries.collect::<Result<_, AccountError>>()?;
        let deleted = self.inner.store.delete_space_and(name, entries).await;
        match &deleted {
            Ok(()) => self.show(without),
            Err(SpaceError::Store(_)) => self.doubts().push(Doubt { space: name.to_owned(), without }),
            Err(_) => {}
        }
        Ok(deleted?)
    }

    /// The right to change accounts and spaces, with the guarantee that the visible state is the stored one.
    ///
    /// # Errors
    /// The store accepts no writes, so it is unknown whether a deletion has reached the disk.
    pub(super) async fn changing(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let changing = self.inner.changing.lock().await;
        if !self.doubts().is_empty() {
            // Once the store accepts writes again, it knows what is on the disk.
            self.inner.store.system_delete(NOTHING).await?;
            for Doubt { space, without } in std::mem::take(&mut *self.doubts()) {
                if self.inner.store.space(&space).is_none() {
                    tracing::warn!(target: AUDIT, act = "space_deleted", object = space, outcome = "done",
                        "space {space} deleted on retry; an earlier attempt had failed");
                    self.show(without);
                }
            }
        }
        Ok(changing)
    }

    fn doubts(&self) -> std::sync::MutexGuard<'_, Vec<Doubt>> {
        self.inner.doubts.lock().unpoisoned()
    }

    /// The users that have rights to the space, with those rights removed.
    fn without_rights_to(&self, space: &str) -> Vec<Arc<User>> {
        let has_rights = |user: &&Arc<User>| user.account.permissions.contains_key(space);
        let without = |user: &Arc<User>| {
            let mut account = Account::clone(&user.account);
            account.permissions.remove(space);
            // The password is unchanged, so its proof stays valid.
            let (account, hash) = (Arc::new(account), Arc::clone(&user.hash));
            Arc::new(User { account, hash, proof: user.proof.clone() })
        };
        self.users().values().filter(has_rights).map(without).collect()
    }

    fn show(&self, changed: Vec<Arc<User>>) {
        let mut users = self.users_mut();
        for user in changed {
            users.insert(user.account.username.clone(), user);
        }
        drop(users);
        // After the change, so that a reader of the number sees the change.
        self.inner.generation.fetch_add(1, Ordering::Release);
    }
}
