//! The one timer of all connections: advances the coarse clock, ends what is overdue, closes what has
//! lingered, and sums up rejections for the log.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::Shared;
use super::registry::TICK;

/// Sweeps between two summaries of rejections: one second.
const SWEEPS_A_SUMMARY: u32 = 4;

/// Runs as long as the server.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sweeps = 0;
    loop {
        interval.tick().await;
        shared.registry.advance_clock();
        let settings = *shared.services.settings.borrow();
        shared.registry.end_overdue(&settings);
        shared.linger.sweep();
        sweeps += 1;
        if sweeps % SWEEPS_A_SUMMARY == 0 {
            shared.turned_away.log();
        }
    }
}
