//! Changes of accounts: one after another, stored before they are visible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::hasher::Lane;
use super::record::{self, User};
use super::rules::{check_password, check_permissions};
use super::{Account, AccountError, Accounts, NewUser, Permission, Role};
use crate::names;
use crate::store::StoreError;

/// How often a failed write is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Accounts {
    /// Creates a user.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create(&self, user: NewUser) -> Result<(), AccountError> {
        let NewUser { username, password, role, permissions } = user;
        names::check(&username)?;
        check_password(&password)?;
        check_permissions(&permissions, |space| self.is_space(space))?;
        // Before the hash, to spare it; and again below, since another caller may be faster.
        self.check_new(&username)?;
        let hash = self.inner.hasher.hash(&password, Lane::Change).await?;
        let _changing = self.changing().await?;
        self.check_new(&username)?;
        self.replace(Account::new(username, role, permissions), hash.into()).await.map(drop)
    }

    /// Gives a user a new password. It counts from the next login; open sessions stay.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_password(&self, username: &str, password: &str) -> Result<(), AccountError> {
        check_password(password)?;
        self.existing(username)?;
        let hash = self.inner.hasher.hash(password, Lane::Change).await?;
        let _changing = self.changing().await?;
        let user = self.existing(username)?;
        self.replace((*user.account).clone(), hash.into()).await.map(drop)
    }

    /// Gives a user a role.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_role(&self, username: &str, role: Role) -> Result<(), AccountError> {
        let _changing = self.changing().await?;
        let user = self.existing(username)?;
        if role != Role::Admin {
            self.check_not_last_admin(&user)?;
        }
        self.replace(Account { role, ..(*user.account).clone() }, Arc::clone(&user.hash)).await.map(drop)
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
        let _changing = self.changing().await?;
        let user = self.existing(username)?;
        let has = |space: &str| user.account.permissions.contains_key(space);
        check_permissions(&permissions, |space| has(space) || self.is_space(space))?;
        self.replace(Account { permissions, ..(*user.account).clone() }, Arc::clone(&user.hash))
            .await
            .map(drop)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn delete(&self, username: &str) -> Result<(), AccountError> {
        let _changing = self.changing().await?;
        let user = self.existing(username)?;
        self.check_not_last_admin(&user)?;
        let deleted = self.inner.store.system_delete(&record::key(username)).await;
        deleted.inspect_err(|error| self.doubt(username, error))?;
        self.users_mut().remove(username);
        self.inner.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Stores a user, then makes it visible.
    pub(super) async fn replace(&self, account: Account, hash: Arc<str>) -> Result<Arc<User>, AccountError> {
        let user = Arc::new(User::new(account, hash));
        let username = user.account.username.clone();
        let stored = self.inner.store.system_put(&record::key(&username), user.to_value()?).await;
        stored.inspect_err(|error| self.doubt(&username, error))?;
        self.users_mut().insert(username, Arc::clone(&user));
        // After the change, so that a reader of the number sees the change.
        self.inner.generation.fetch_add(1, Ordering::Release);
        Ok(user)
    }

    /// A change that was reported as failed may have reached the disk, and would take effect at the next
    /// start. So this writes the state in force until it is stored.
    fn doubt(&self, username: &str, error: &StoreError) {
        if matches!(error, StoreError::Closed) {
            return;
        }
        let (accounts, username) = (self.clone(), username.to_owned());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RETRY_INTERVAL).await;
                let _changing = match accounts.changing().await {
                    Ok(changing) => changing,
                    Err(StoreError::Closed) => return,
                    Err(_) => continue,
                };
                match accounts.store_as_it_is(&username).await {
                    Ok(()) => {
                        return tracing::info!(
                            username,
                            "account {username}: stored record restored after a failed change"
                        );
                    }
                    Err(AccountError::Store(StoreError::Closed)) => return,
                    Err(error) => {
                        tracing::debug!(%error, username, "account {username}: stored record not restored yet: \
                            {error}")
                    }
                }
            }
        });
    }

    async fn store_as_it_is(&self, username: &str) -> Result<(), AccountError> {
        let (store, key) = (&self.inner.store, record::key(username));
        match self.user(username) {
            Some(user) => store.system_put(&key, user.to_value()?).await?,
            None => store.system_delete(&key).await?,
        }
        Ok(())
    }

    fn check_not_last_admin(&self, user: &User) -> Result<(), AccountError> {
        let others = self
            .users()
            .values()
            .any(|other| other.account.is_admin() && other.account.username != user.account.username);
        if user.account.is_admin() && !others { Err(AccountError::LastAdmin) } else { Ok(()) }
    }

    /// Checks whether a user of this name can be created.
    fn check_new(&self, username: &str) -> Result<(), AccountError> {
        if self.user(username).is_some() {
            return Err(AccountError::UserExists);
        }
        Ok(names::check_unlike(username, self.users().keys().map(String::as_str))?)
    }

    fn is_space(&self, name: &str) -> bool {
        self.inner.store.space(name).is_some()
    }

    fn existing(&self, username: &str) -> Result<Arc<User>, AccountError> {
        self.user(username).ok_or(AccountError::UserNotFound)
    }
}
