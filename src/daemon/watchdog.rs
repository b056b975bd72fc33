//! The watchdog as a proof of health.
//!
//! systemd is notified only after a probe took the path of a client and was answered, in
//! less than half the time that systemd waits. A stuck accept loop or store stops the notifications, and
//! systemd restarts the service.
//!
//! If the probe itself cannot connect, that is not the server's fault. The log reports it once, and until
//! it is over the server is judged by a message that goes through the same threads.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::awake::timeout;
use crate::server::{ProbeError, Prober};
use crate::systemd;

/// The shortest time between two probes, however often systemd wants a notification.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// Probes for as long as the daemon runs; idle for ever if systemd does not ask for it.
pub(super) async fn run(prober: Prober) {
    let Some(max_wait) = systemd::watchdog_interval() else { return std::future::pending().await };
    let half = max_wait / 2;
    let mut ticks = interval(pause(max_wait));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut witness = Witness { prober, max_wait: half, cannot_ask: false };
    loop {
        ticks.tick().await;
        match timeout(half, witness.look()).await {
            Ok(Ok(())) => systemd::alive(half),
            Ok(Err(error)) => tracing::error!(%error, "the server failed a probe: {error}"),
            Err(_) => tracing::error!("the server has not answered a probe within {half:?}"),
        }
    }
}

/// The pause between two probes: even after the slowest one, there is still time to notify systemd.
fn pause(max_wait: Duration) -> Duration {
    (max_wait / 4).max(SHORTEST_PAUSE)
}

/// Checks whether the server serves.
struct Witness {
    prober: Prober,
    max_wait: Duration,
    /// The last probe could not connect.
    cannot_ask: bool,
}

impl Witness {
    async fn look(&mut self) -> Result<(), ProbeError> {
        match self.prober.probe(self.max_wait / 2).await {
            Err(ProbeError::CannotAsk(error)) => {
                if !std::mem::replace(&mut self.cannot_ask, true) {
                    tracing::warn!(%error,
                        "the watchdog cannot connect to this server and checks only its threads until it can: \
                         {error}");
                }
                self.prober.heartbeat().await
            }
            asked => {
                if std::mem::take(&mut self.cannot_ask) {
                    tracing::info!("the watchdog can connect to this server again");
                }
                asked
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_quarter_and_never_nothing() {
        assert_eq!(pause(Duration::from_secs(30)), Duration::from_millis(7500));
        assert_eq!(pause(Duration::from_micros(1)), SHORTEST_PAUSE);
    }
}
