//! Limits by name, including those of users and addresses, which exist only while they have connections.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
// Not the parent's: no count of connections rests on these.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Limiter;

/// The name of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// The limit of the server's own port.
    Main,
    /// The limit of the gateway of this name.
    Gateway(Arc<str>),
    /// The limit of all connections of this user.
    User(Arc<str>),
    /// The limit of all connections from this address.
    Address(IpAddr),
}

/// A limit and its name. A cheap handle.
#[derive(Debug, Clone)]
pub struct NamedLimit {
    name: Name,
    limiter: Limiter,
    used: Option<Use>,
}

/// The limits that exist only while a handle or an admission uses them: 100,000 addresses that have
/// disconnected leave nothing behind.
#[derive(Debug, Clone, Default)]
pub struct NamedLimits {
    list: Arc<List>,
}

#[derive(Debug, Default)]
struct List {
    entries: Mutex<HashMap<Name, Entry>>,
}

#[derive(Debug)]
struct Entry {
    limiter: Limiter,
    used: Weak<Used>,
}

/// Marks a limit as in use.
pub(super) type Use = Arc<Used>;

/// Removes the entry of its limit with the last use.
#[derive(Debug)]
pub(super) struct Used {
    name: Name,
    list: Weak<List>,
}

impl NamedLimit {
    /// A limit that exists for as long as the server runs.
    pub fn lasting(name: Name, limiter: Limiter) -> Self {
        Self { name, limiter, used: None }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its places.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub(super) fn used(&self) -> Option<&Use> {
        self.used.as_ref()
    }
}

impl NamedLimits {
    /// The limit of this name: the one in use, unchanged; else a new one of `limit`.
    ///
    /// If the rules have changed meanwhile, adjust it with [`Limiter::set`].
    pub fn of(&self, name: &Name, limit: NonZeroU32) -> NamedLimit {
        let mut entries = self.list.lock();
        if let Some(entry) = entries.get(name)
            && let Some(used) = entry.used.upgrade()
        {
            return NamedLimit { name: name.clone(), limiter: entry.limiter.clone(), used: Some(used) };
        }
        let limiter = Limiter::new(limit, NonZeroU32::MAX).expect("no limit is above the highest number");
        let used = Arc::new(Used { name: name.clone(), list: Arc::downgrade(&self.list) });
        entries.insert(name.clone(), Entry { limiter: limiter.clone(), used: Arc::downgrade(&used) });
        NamedLimit { name: name.clone(), limiter, used: Some(used) }
    }

    /// All limits in use, in no order.
    pub fn all(&self) -> Vec<NamedLimit> {
        let entries = self.list.lock();
        let in_use = entries.iter().filter_map(|(name, entry)| {
            let used = entry.used.upgrade()?;
            Some(NamedLimit { name: name.clone(), limiter: entry.limiter.clone(), used: Some(used) })
        });
        in_use.collect()
    }

    /// How many are in use.
    pub fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl List {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        // Each change under this lock is one call, so no panic leaves half of one.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let Some(list) = self.list.upgrade() else { return };
        let mut entries = list.lock();
        // Another connection may have recreated the limit between the last use of this one and now.
        if entries.get(&self.name).is_some_and(|entry| entry.used.strong_count() == 0) {
            entries.remove(&self.name);
        }
        if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 {
            let twice = entries.len() * 2;
            entries.shrink_to(twice);
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Gateway(name) => write!(f, "gateway:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Address(address) => write!(f, "address:{address}"),
        }
    }
}
