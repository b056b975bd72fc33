//! The services for all sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::auth::Accounts;
use crate::net;
use crate::store::{Store, StoreError};

use super::audit::Attempts;
use super::counters::RequestCounters;

/// How long the committer may be in one call to the disk before the probe stops waiting for it.
const DISK_MAX_WAIT: Duration = Duration::from_millis(500);

/// How often that is checked.
const DISK_LOOK: Duration = Duration::from_millis(100);

/// The services for all sessions.
pub struct Services {
    /// Keeps spaces and keys.
    pub(super) store: Store,
    /// Holds the users.
    pub(super) accounts: Accounts,
    /// Attempts of users who are not administrators.
    pub(super) attempts: Attempts,
    pub(super) counters: Arc<RequestCounters>,
}

impl Services {
    pub(crate) fn new(store: Store, accounts: Accounts) -> Self {
        Self { store, accounts, attempts: Attempts::default(), counters: Arc::default() }
    }

    /// The counters of logins and requests.
    pub(crate) fn counters(&self) -> &Arc<RequestCounters> {
        &self.counters
    }
}

impl net::Services for Services {
    fn tick(&self) {
        self.store.look_after_fetches();
    }

    fn has_news(&self) -> bool {
        self.attempts.is_going_on()
    }

    fn log(&self) {
        self.attempts.log();
    }

    /// Returns when the store has shown that it still commits, or waits for its disk.
    ///
    /// A store that answers with an error works, and so does one whose disk does not answer: a restart repairs neither
    /// a full disk nor a slow one.
    async fn works(&self) -> bool {
        let commit = self.store.write(Vec::new());
        tokio::pin!(commit);
        loop {
            match timeout(DISK_LOOK, &mut commit).await {
                Ok(committed) => return !matches!(committed, Err(StoreError::Closed)),
                Err(_) if self.store.waits_for_disk().is_some_and(|waits| waits >= DISK_MAX_WAIT) => {
                    return true;
                }
                Err(_) => {}
            }
        }
    }
}
