//! The tasks of the operators' runtime, all of which run for as long as the daemon does.

use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::RunError;
use crate::awake::timeout;
use crate::management;

/// How long tasks may take to finish their work at the end: longer than the management API lets its
/// requests take, so that this never cuts them off.
const GRACE: Duration = management::FAREWELL.saturating_add(Duration::from_secs(1));

/// How many of them end by themselves when the daemon ends.
const BY_THEMSELVES: usize = 2;

/// The tasks, by name.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: Vec<(Id, &'static str)>,
}

impl Tasks {
    /// Starts a task that is to run until the end.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.running.spawn(task);
        self.names.push((handle.id(), name));
    }

    /// Waits for a task that ends unexpectedly, and returns which it was. Cancel safe.
    pub(super) async fn ended(&mut self) -> RunError {
        match self.running.join_next_with_id().await {
            Some(Ok((id, ()))) => RunError::ended(self.name(id), "it returned"),
            Some(Err(error)) => RunError::ended(self.name(JoinError::id(&error)), error),
            None => std::future::pending().await,
        }
    }

    /// Ends all of them. The first to end by themselves may finish their work: the management API its answers, and
    /// the signal queue the signals already received, once they are notified of the end.
    pub(super) async fn end(&mut self) {
        let first = async {
            for _ in 0..BY_THEMSELVES {
                self.running.join_next().await;
            }
        };
        if timeout(GRACE, first).await.is_err() {
            tracing::debug!("a task is still running; aborting it");
        }
        self.running.shutdown().await;
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.iter().find(|(known, _)| *known == id).map_or("a task", |(_, name)| name)
    }
}
