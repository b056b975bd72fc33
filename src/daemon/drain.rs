//! The orderly end: connections may finish within `drain_timeout`.
//!
//! Operators keep control until it is over: signals are applied, and the config file is followed.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::reload::Loaded;
use super::signal_queue::SignalQueue;
use crate::awake::LAP;
use crate::server::Server;
use crate::systemd::{self, ASK_FOR_TIME, MORE_TIME};

/// How a drain ended.
pub(super) struct Ended {
    /// By a second signal to stop.
    pub(super) at_once: bool,
}

/// Stops accepting and lets connections finish; a second signal to stop ends it at once.
pub(super) async fn drain(
    server: Server,
    settings: watch::Receiver<Loaded>,
    signal_queue: &mut SignalQueue,
    clients: &Handle,
) -> Ended {
    let mut more_time = tokio::time::interval(ASK_FOR_TIME);
    let mut draining = clients.spawn(server.drain(time_is_up(settings.clone())));
    loop {
        tokio::select! {
            drained = &mut draining => {
                match drained {
                    Ok(drained) if drained.cut > 0 => {
                        let timeout = settings.borrow().running.shutdown.drain_timeout;
                        tracing::warn!(connections = drained.cut,
                            "closed {} connections that did not finish within {timeout:?}", drained.cut);
                    }
                    Ok(_) => tracing::info!("all connections finished"),
                    Err(error) => tracing::error!(%error, "draining failed: {error}"),
                }
                return Ended { at_once: false };
            }
            _ = more_time.tick() => systemd::extend_timeout(MORE_TIME),
            Some(actor) = signal_queue.stop() => {
                tracing::warn!(%actor, "stopping at once, as asked by {actor}");
                draining.abort();
                return Ended { at_once: true };
            }
        }
    }
}

/// Returns when the drain has taken `drain_timeout`, following changes of that setting. A pause of the process is not
/// counted, as in [`crate::awake`].
async fn time_is_up(mut settings: watch::Receiver<Loaded>) {
    let mut taken = Duration::ZERO;
    loop {
        let timeout = settings.borrow_and_update().running.shutdown.drain_timeout;
        if taken >= timeout {
            return;
        }
        let (lap, begun) = (LAP.min(timeout - taken), Instant::now());
        tokio::select! {
            () = sleep(lap) => {}
            Ok(()) = settings.changed() => {}
        }
        taken += begun.elapsed().min(lap);
    }
}
