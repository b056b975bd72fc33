//! How full the server is: in words, for systemd's status line and one warning when it gets tight, and in
//! numbers, for the series of samples. One check per second serves all of it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::reload::Loaded;
use super::store_state::StoreWatch;
use super::trouble::Problem;
use crate::config::{Change, Difference};
use crate::control::{Control, RefusedEdit};
use crate::limiter::{Limiter, Snapshot};
use crate::series::{Recorder, Sample};
use crate::systemd;

/// How often usage is checked; also the most often that the status changes.
const LOOK: Duration = Duration::from_secs(1);

/// How far usage must fall below the threshold before the warning is withdrawn, in percent of the limit.
const BACK_OFF: f64 = 10.0;

/// Whether usage was last seen above the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alarm {
    raised: bool,
}

/// A crossing of the threshold that is worth a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    Up,
    Down,
}

impl Alarm {
    /// Checks a usage in percent; reports a crossing once, and the way back only when usage is
    /// well below, so that a usage that hovers about the threshold does not fill the log.
    pub(crate) fn look(&mut self, usage: f64, threshold: u8) -> Option<Crossing> {
        let threshold = f64::from(threshold);
        if !self.raised && usage >= threshold {
            self.raised = true;
            Some(Crossing::Up)
        } else if self.raised && usage <= (threshold - BACK_OFF).max(0.0) {
            self.raised = false;
            Some(Crossing::Down)
        } else {
            None
        }
    }
}

/// The status line of `systemctl status`.
pub(crate) fn status(snapshot: Snapshot) -> String {
    let Snapshot { limit, active } = snapshot;
    format!("{active}/{limit} connections ({:.1} %)", snapshot.usage_percentage())
}

/// The same while the server drains.
pub(crate) fn draining(snapshot: Snapshot) -> String {
    match snapshot.active {
        0 => "draining: no connection left".into(),
        1 => "draining: 1 connection left".into(),
        active => format!("draining: {active} connections left"),
    }
}

/// The status text for a reload that changed nothing.
pub(crate) fn problem(error: impl fmt::Display) -> String {
    format!("config not applied: {error}")
}

/// The status text for a limit in the config file that was refused.
pub(crate) fn refused(RefusedEdit { wanted, reason, waits }: &RefusedEdit) -> String {
    let until = if *waits { ", and will be applied as soon as possible" } else { "" };
    format!("max_connections = {wanted} of the config file is refused: {reason}{until}")
}

/// The status text for settings that wait.
fn waiting(settings: &[Change]) -> Option<String> {
    let names: Vec<_> = settings.iter().map(|change| change.key.name()).collect();
    (!names.is_empty()).then(|| format!("waiting for a restart: {}", names.join(", ")))
}

/// Watches usage for as long as the daemon runs, and records it. Also shows what the last reload left
/// behind.
///
/// `shown` is the status that systemd already has; it is sent only when it changes, or again after a
/// reload, which may have replaced it with its failure.
pub(crate) async fn watch(
    limiter: Limiter,
    control: Control,
    mut store: StoreWatch,
    loaded: watch::Receiver<Loaded>,
    mut series: Recorder,
    mut shown: String,
    drain: CancellationToken,
) {
    let mut alarm = Alarm::default();
    let mut shown_after = None;
    series.record(Sample::take(&limiter, Timestamp::now()));
    // In the middle of each second, so that a tick slightly early or late is still in its own.
    let mut ticks = interval_at(Instant::now() + until_half_past(Timestamp::now()), LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        series.record(Sample::take(&limiter, Timestamp::now()));
        let snapshot = limiter.snapshot();
        let limit_state = control.limit_state();
        let (threshold, last_reload, troubled) = {
            let loaded = loaded.borrow();
            let problem = |(path, problem): (&Path, Problem)| format!("{}: {}", path.display(), problem.what);
            let troubled = loaded.troubled_files().into_iter().map(problem);
            let troubled = troubled.chain(limit_state.refused_edit.as_ref().map(refused));
            let waiting = waiting(&Difference::between(&loaded.running, &loaded.wanted).restart);
            let troubled: Vec<_> = troubled.chain(waiting).collect();
            (loaded.running.limits.warn_percent, loaded.last_reload.clone(), troubled)
        };
        tell(alarm.look(snapshot.usage_percentage(), threshold), snapshot, threshold);
        let store = store.look();
        let mut status = match last_reload.as_ref().and_then(|last| last.result.as_ref().err()) {
            _ if drain.is_cancelled() => draining(snapshot),
            Some(error) => format!("{}; {}", status(snapshot), problem(error)),
            None => status(snapshot),
        };
        for trouble in troubled {
            status = format!("{status}; {trouble}");
        }
        if let Some(trouble) = store {
            status = format!("{status}; {trouble}");
        }
        if status != shown || last_reload != shown_after {
            systemd::status(&status);
            shown = status;
            shown_after = last_reload;
        }
    }
}

/// The time until half a second past a full one.
fn until_half_past(now: Timestamp) -> Duration {
    let past = now.as_millisecond().rem_euclid(1000).unsigned_abs();
    Duration::from_millis((1500 - past) % 1000)
}

fn tell(crossing: Option<Crossing>, snapshot: Snapshot, threshold: u8) {
    let Snapshot { active, limit } = snapshot;
    match crossing {
        Some(Crossing::Up) => tracing::warn!(
            active,
            limit,
            threshold,
            "{active} of {limit} connections are in use, {threshold} % or more"
        ),
        Some(Crossing::Down) => tracing::info!(
            active,
            limit,
            threshold,
            "{active} of {limit} connections are in use, well below {threshold} % again"
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_sounds_once_and_is_taken_back_ten_points_lower() {
        let mut alarm = Alarm::default();
        let told: Vec<_> = [10.0, 79.9, 80.0, 99.0, 75.0, 81.0, 70.1, 70.0, 0.0, 85.0]
            .map(|usage| alarm.look(usage, 80))
            .into();
        let (up, down) = (Some(Crossing::Up), Some(Crossing::Down));
        assert_eq!(told, [None, None, up, None, None, None, None, down, None, up]);
    }

    #[test]
    fn ticks_are_in_the_middle_of_a_second() {
        for (past, until) in [(0, 500), (499, 1), (500, 0), (501, 999), (999, 501)] {
            let now = Timestamp::from_millisecond(1_000_000 + past).unwrap();
            assert_eq!(until_half_past(now), Duration::from_millis(until), "{past}");
        }
    }

    #[test]
    fn a_low_threshold_can_be_left_again() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.look(6.0, 5), Some(Crossing::Up));
        assert_eq!(alarm.look(0.0, 5), Some(Crossing::Down));
    }
}
