//! Notifies of attempts to change the limit as they are recorded.

use tokio::sync::{broadcast, watch};

use super::{LimitState, Record};

/// How many records wait for a follower. A slower one misses some, and is notified of that.
pub(super) const WAITING: usize = 64;

/// What a follower receives, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An attempt was recorded.
    Attempt(Record),
    /// How many records this follower was too slow to receive; they are in the history.
    Missed(u64),
    /// Base, override, revision or a refused edit may have changed.
    LimitState,
}

/// One follower. What was recorded before it began to follow is in the history.
#[derive(Debug)]
pub struct Subscription {
    pub(super) records: broadcast::Receiver<Record>,
    pub(super) limit_state: watch::Receiver<LimitState>,
}

impl Subscription {
    /// The next event; `None` when control has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            record = self.records.recv() => match record {
                Ok(record) => Some(Event::Attempt(record)),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            changed = self.limit_state.changed() => changed.ok().map(|()| Event::LimitState),
        }
    }
}
