//! Users, roles, permissions, password verification.
//!
//! This module owns the users and their permissions. It keeps all users in memory and writes every change
//! to the store's system area first. It knows no connections and no protocol, never returns
//! a hash, and never reveals why a login was refused.
//!
//! # What a login costs
//! A first login costs the full hash, on low-priority threads, and so does every
//! wrong password. After that a [proof] makes the same login cheap. The same
//! attempt made many times at once is [verified once](self::verification). Repeated failures are
//! [throttled](self::throttle), except for logins with a proof: a known user never waits because of a
//! guesser. Only as many attempts wait as can be served in a short time; the others are refused at once.

mod account;
mod changes;
mod error;
mod first_admin;
mod hasher;
mod imported;
mod proof;
mod record;
mod rules;
mod spaces;
mod throttle;
mod verification;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{fmt, io};

pub use account::{Account, NewUser, Permission, Role};
pub use error::{AccountError, LoginError, OpenError};
pub use first_admin::{FirstAdmin, FirstAdminError, PreparedAdmin};
pub use hasher::HashError;
pub use imported::{ImportedHash, InvalidHash};
pub use rules::{MAX_PASSWORD_LEN, MAX_USERNAME_LEN};
pub use spaces::DeleteSpaceError;

use crate::store::Store;
use crate::unpoisoned::Unpoisoned as _;
use hasher::Hasher;
use proof::{Mac, Prover};
use record::User;
use throttle::{Throttle, Turn};
use verification::{Verdict, Verifications};

/// The cost of one password hash: argon2id with one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// All users, and the only way to log in. A cheap handle.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    users: RwLock<HashMap<String, Arc<User>>>,
    generation: AtomicU64,
    /// Serializes changes, from reading the current state to storing the new one. Held
    /// while the store writes, hence not a lock that would block a thread.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Deletions of spaces that may or may not have reached the disk.
    doubts: std::sync::Mutex<Vec<spaces::Doubt>>,
    hasher: Hasher,
    prover: Prover,
    /// By attempt and address: each waits for one turn.
    attempts: Verifications<(Mac, IpAddr)>,
    /// By attempt: each costs one hash.
    verifications: Verifications<Mac>,
    throttle: Throttle,
}

impl Default for HashCost {
    /// The minimum that OWASP recommends.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

impl Accounts {
    /// Loads all users.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(store: Store, cost: HashCost) -> Result<Self, OpenError> {
        let mut users = HashMap::new();
        for (key, value) in store.system_entries()? {
            if let Some(user) = User::from_entry(&key, &value)? {
                users.insert(user.account.username.clone(), Arc::new(user));
            }
        }
        let inner = Inner {
            store,
            users: RwLock::new(users),
            generation: AtomicU64::new(0),
            changing: Arc::default(),
            doubts: std::sync::Mutex::default(),
            hasher: Hasher::start(cost)?,
            prover: Prover::new().map_err(io::Error::from)?,
            attempts: Verifications::default(),
            verifications: Verifications::default(),
            throttle: Throttle::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.users().is_empty()
    }

    /// The account, if this very login has succeeded before and nothing has changed since. Costs a few
    /// microseconds and never waits. `None` is no verdict: call [`Accounts::login`].
    pub fn known_login(&self, username: &str, password: &str) -> Option<Arc<Account>> {
        let user = self.user(username)?;
        self.is_proven(&user, password).then(|| Arc::clone(&user.account))
    }

    /// Checks a password. Takes the time of one hash, unless the same login has
    /// succeeded before; longer for a user and an address that have failed often. Drop the future once nothing
    /// waits for it: the hash is then not computed, and its turn goes to the next.
    ///
    /// # Errors
    /// [`LoginError`], whatever was wrong.
    pub async fn login(
        &self,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Arc<Account>, LoginError> {
        let inner = &*self.inner;
        if self.is_empty() {
            // The first admin is being created.
            drop(inner.changing.lock().await);
        }
        let user = self.user(username);
        let hash = user.as_ref().map(|user| Arc::clone(&user.hash));
        let attempt = inner.prover.attempt(username, hash.as_deref().unwrap_or_default(), password);
        if let Some(user) = &user
            && user.proof.get().is_some_and(|proof| attempt.matches(proof))
        {
            return Ok(Arc::clone(&user.account));
        }
        let mac = attempt.into_mac();
        let verdict =
            inner.attempts.run((mac, peer), self.verify(mac, username, password, hash.as_ref(), peer)).await;
        // Looked up again: it may have been changed or deleted meanwhile. Another hash is fine if this
        // very password has a proof for it, as after a renewal.
        let user = self
            .user(username)
            .filter(|user| Some(&user.hash) == hash.as_ref() || self.is_proven(user, password));
        match (user, verdict) {
            (Some(user), Verdict::Right) => {
                self.prove(&user, password);
                Ok(Arc::clone(&user.account))
            }
            (_, Verdict::Throttled) => Err(LoginError::Busy),
            _ => {
                inner.throttle.log_failure(peer, username);
                Err(LoginError::Denied)
            }
        }
    }

    /// Incremented by every change of any account. A session re-reads its account when it has changed.
    pub fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// The account of `username`, if there is one.
    pub fn account(&self, username: &str) -> Option<Arc<Account>> {
        self.user(username).map(|user| Arc::clone(&user.account))
    }

    /// Compares `password` with `hash`, once it is this attempt's turn.
    async fn verify(
        &self,
        mac: Mac,
        username: &str,
        password: &str,
        hash: Option<&Arc<str>>,
        peer: IpAddr,
    ) -> Verdict {
        let inner = &*self.inner;
        let mut attempt = match inner.throttle.turn(peer, username, &mac).await {
            Turn::Now(attempt) => attempt,
            Turn::KnownWrong => return Verdict::Wrong,
            Turn::Never => return Verdict::Throttled,
        };
        let verify = async {
            match inner.hasher.verify(password, hash.cloned(), self.any_imported_hash()).await {
                Ok(true) => {}
                Ok(false) => return Verdict::Wrong,
                Err(_) => return Verdict::Throttled,
            }
            if let Some(hash) = hash {
                self.renew_if_imported(username, password, hash).await;
            }
            Verdict::Right
        };
        let verdict = inner.verifications.run(mac, verify).await;
        if verdict == Verdict::Wrong {
            attempt.failed(mac);
        }
        verdict
    }

    /// Records that `password` was verified against the hash of `user`.
    fn prove(&self, user: &User, password: &str) {
        let attempt = self.inner.prover.attempt(&user.account.username, &user.hash, password);
        // A correct password has only one proof, so it does not matter which caller sets it first.
        user.proof.get_or_init(|| attempt.into_mac());
    }

    fn is_proven(&self, user: &User, password: &str) -> bool {
        let attempt = self.inner.prover.attempt(&user.account.username, &user.hash, password);
        user.proof.get().is_some_and(|proof| attempt.matches(proof))
    }

    fn user(&self, username: &str) -> Option<Arc<User>> {
        self.users().get(username).cloned()
    }

    fn users(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<User>>> {
        self.inner.users.read().unpoisoned()
    }

    fn users_mut(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<User>>> {
        self.inner.users.write().unpoisoned()
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("users", &self.users().len()).finish_non_exhaustive()
    }
}
