//! Signals, from their arrival to their effect.
//!
//! They are read as they arrive, whatever the previous one is waiting for: before that, only a
//! handful of each kind is kept, and the rest is lost. So they wait here, for a task that applies them in
//! order. A signal to stop never waits.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::reload::Asked;
use crate::control::{Actor, Amount, Change, Control, Door, LimitRequest};
use crate::identity;
use crate::signals::{Action, Arrival, Signals};

/// Reads signals. [`apply`] applies all but those to stop.
pub(super) struct SignalQueue {
    signals: Signals,
    waiting: UnboundedSender<Arrival>,
}

impl SignalQueue {
    pub(super) fn new(signals: Signals) -> (Self, UnboundedReceiver<Arrival>) {
        let (waiting, to_apply) = mpsc::unbounded_channel();
        (Self { signals, waiting }, to_apply)
    }

    /// Waits for a signal to stop and returns its sender; reads the others meanwhile. `None` only if there
    /// can be no more signals. Cancel safe.
    pub(super) async fn stop(&mut self) -> Option<Actor> {
        loop {
            let arrival = self.signals.next().await?;
            let Arrival { action, actor } = &arrival;
            tracing::debug!(?action, %actor, "{actor} has sent a signal: {action:?}");
            if arrival.action == Action::Stop {
                return Some(identity::named_if_known(arrival.actor));
            }
            // The task that applies them lives as long as the daemon; if it has ended, so will the daemon.
            self.waiting.send(arrival).ok();
        }
    }
}

/// Applies the signals one after the other, until the [`SignalQueue`] are dropped and all is done.
pub(super) async fn apply(
    mut waiting: UnboundedReceiver<Arrival>,
    control: Control,
    reloads: mpsc::Sender<Asked>,
) {
    while let Some(arrival) = waiting.recv().await {
        act(arrival, &control, &reloads).await;
    }
}

/// Applies a signal other than one to stop.
async fn act(arrival: Arrival, control: &Control, reloads: &mpsc::Sender<Asked>) {
    let Arrival { action, actor } = arrival;
    let actor = identity::named(actor).await;
    let change = match action {
        Action::Raise => Change::Increase(Amount::Step),
        Action::Lower => Change::Decrease(Amount::Step),
        Action::Reload => {
            // As above, for the task that reloads.
            reloads.send(Asked { door: Door::Signal, actor }).await.ok();
            return;
        }
        Action::Stop => return,
    };
    // Control logs and records a refusal; a signal has no other recipient.
    let request = LimitRequest { change, door: Door::Signal, actor, if_revision: None };
    control.change_at_once(request).await.ok();
}
