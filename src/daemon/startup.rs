//! Building everything while signals are heard: opening the store may take minutes, or hang with its disk, and the
//! config file may be on a file system that does not answer.

use std::thread::{self, JoinHandle};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::build::{self, Built};
use super::signal_queue::SignalQueue;
use super::starting::Stage;
use super::{Options, RunError};
use crate::logging::Log;
use crate::systemd::{self, Inherited};

/// What a start has come to.
pub(super) enum Start {
    /// All is there, to be served; and the control thread.
    Ready(Box<Built>, JoinHandle<()>),
    /// All is there, but whoever started it has thought better of it.
    NotWanted(Box<Built>, JoinHandle<()>),
    /// It was not waited for. Its thread is still at it, and ends with the process.
    GivenUp,
}

/// Builds, on a thread of its own. Asked to stop while it reads its settings, it stops at once. Later it finishes what
/// it is at first, so that the end is in good order; asked a second time, it does not.
pub(super) async fn start(
    (options, inherited): (Options, Vec<Inherited>),
    log: Log,
    clients: Handle,
    signal_queue: &mut SignalQueue,
) -> Result<Start, RunError> {
    let (done, mut result) = oneshot::channel();
    let stage = Stage::default();
    let build = {
        let stage = stage.clone();
        move || {
            // Nobody waits for what was given up.
            done.send(build::build(options, log, inherited, &clients, &stage)).ok();
        }
    };
    // Not of a runtime, which would wait for it at the end.
    thread::Builder::new()
        .name("start".into())
        .spawn(build)
        .map_err(|error| RunError::System("start a thread", error))?;
    let mut wanted = true;
    loop {
        tokio::select! {
            built = &mut result => {
                let (built, control) = built.map_err(|_| RunError::ended("the start", "it panicked"))??;
                let built = Box::new(built);
                return Ok(if wanted { Start::Ready(built, control) } else { Start::NotWanted(built, control) });
            }
            Some(actor) = signal_queue.stop() => if let Some(waited_for) = stage.give_up() {
                tracing::info!(%actor, "stopping, as asked by {actor}; startup was still waiting for {waited_for}");
                return Ok(Start::GivenUp);
            } else if wanted {
                wanted = false;
                tracing::info!(%actor, "stopping once startup is complete, as asked by {actor}");
                systemd::stopping("stopping once startup is complete");
            } else {
                tracing::warn!(%actor, "stopping at once, as asked by {actor}");
                return Ok(Start::GivenUp);
            },
        }
    }
}
