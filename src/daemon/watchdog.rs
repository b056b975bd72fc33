//! The watchdog as a proof of health.
//!
//! systemd hears that all is well only after a probe went the way a client goes and was answered, in
//! less than half the time that systemd waits. A stuck accept loop or store sends no word, and
//! systemd starts the service again.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::awake::timeout;
use crate::server::Prober;
use crate::systemd;

/// Probes for as long as the daemon runs; for ever at rest if systemd does not ask for it.
pub(super) async fn run(prober: Prober) {
    let Some(patience) = systemd::watchdog_interval() else { return std::future::pending().await };
    let half = patience / 2;
    let mut ticks = interval(pause(patience));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout(half, prober.probe()).await {
            Ok(Ok(())) => systemd::alive(),
            Ok(Err(error)) => tracing::error!(%error, "the server does not serve: {error}"),
            Err(_) => tracing::error!("the server has not answered a probe within {half:?}"),
        }
    }
}

/// Between two probes: after one that takes as long as it may, there is still time to send word.
fn pause(patience: Duration) -> Duration {
    patience / 4
}
