//! Signals, from their arrival to their effect.
//!
//! They are read as they arrive, whatever the previous one is waiting for: before that, only a
//! handful of each kind is kept, and the rest is lost. So they wait here, for a task that applies them in
//! order. A signal to stop never waits.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::reload::Asked;
use crate::control::{Actor, Amount, Change, Control, Door, LimitRequest};
use crate::identity;
use crate::signals::{Action, ReceivedSignal, Signals};

/// Reads signals. [`apply`] applies all but those to stop.
pub(super) struct SignalQueue {
    signals: Signals,
    waiting: UnboundedSender<ReceivedSignal>,
}

impl SignalQueue {
    pub(super) fn new(signals: Signals) -> (Self, UnboundedReceiver<ReceivedSignal>) {
        let (waiting, to_apply) = mpsc::unbounded_channel();
        (Self { signals, waiting }, to_apply)
    }

    /// Waits for a signal to stop and returns its sender; reads the others meanwhile. `None` only if there
    /// can be no more signals. Cancel safe.
    pub(super) async fn stop(&mut self) -> Option<Actor> {
        loop {
            let signal = self.signals.next().await?;
            let ReceivedSignal { action, actor } = &signal;
            tracing::debug!(?action, %actor, "{actor} has sent a signal: {action:?}");
            if signal.action == Action::Stop {
                return Some(identity::named_if_known(signal.actor));
            }
            // The task that applies them lives as long as the daemon; if it has ended, so will the daemon.
            self.waiting.send(signal).ok();
        }
    }
}

/// Applies the signals one after the other, until the [`SignalQueue`] are dropped and all is done.
pub(super) async fn apply(
    mut waiting: UnboundedReceiver<ReceivedSignal>,
    control: Control,
    reloads: mpsc::Sender<Asked>,
) {
    while let Some(signal) = waiting.recv().await {
        act(signal, &control, &reloads).await;
    }
}

/// Applies a signal other than one to stop.
async fn act(signal: ReceivedSignal, control: &Control, reloads: &mpsc::Sender<Asked>) {
    let ReceivedSignal { action, actor } = signal;
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
