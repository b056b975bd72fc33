//! One query of the server: what the API answers at about the same moment.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::api::{Api, ApiError};
use super::super::lines;
use crate::management::wire::{ConfigReport, ConnectionList, History, HistoryEntry, Series};
use crate::names::shown;

/// How far back the samples go, in seconds.
pub(super) const SPAN: usize = 600;

/// The interval between queries.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many changes of the limit are fetched.
const CHANGES: usize = 50;

/// How many seconds rates are averaged over.
const RATE_SPAN: usize = 5;

/// The result of a query.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// One a second, oldest first.
    pub(super) samples: Vec<Sample>,
    /// Attempts to change the limit, newest first.
    pub(super) changes: Vec<HistoryEntry>,
    /// The users and addresses with the most connections, those first.
    pub(super) users: Vec<(String, u64)>,
    pub(super) peers: Vec<(String, u64)>,
    /// Why the limit is not the configured one, if it is not.
    pub(super) drift: Option<String>,
    /// By how much the keys change the limit.
    pub(super) step: Option<u64>,
    /// The usage from which on it is tight, in percent.
    pub(super) warn_percent: Option<f64>,
}

/// The numbers of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Sample {
    pub(super) time: Timestamp,
    pub(super) active: u32,
    pub(super) limit: u32,
    /// Since the server started.
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    pub(super) accepted: f64,
    pub(super) rejected: f64,
}

impl Sample {
    /// Share of the limit in use, in percent.
    pub(super) fn usage(&self) -> f64 {
        f64::from(self.active) / f64::from(self.limit.max(1)) * 100.0
    }
}

/// Queries every second, for ever. A failure is an error, and the next query may succeed.
pub(super) fn looks(api: &Api) -> impl Stream<Item = Result<Look, ApiError>> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold(ticks, move |mut ticks| async move {
        ticks.tick().await;
        // The view reports a server that takes too long as silent, and queries it again.
        let look = timeout(api.max_wait(), look(api)).await.unwrap_or_else(|_| Err(api.silent()));
        Some((look, ticks))
    })
}

async fn look(api: &Api) -> Result<Look, ApiError> {
    let series = api.get::<Series>(&format!("/series?seconds={SPAN}")).await?.value;
    let history = api.get::<History>(&format!("/history?limit={CHANGES}")).await?.value;
    let connections = api.get::<ConnectionList>("/connections?limit=1").await?.value;
    let config = api.get::<ConfigReport>("/config").await?.value;
    let named = |name: Option<String>| {
        name.map_or_else(|| "not logged in".to_owned(), |name| shown(&name).into_owned())
    };
    Ok(Look {
        samples: samples(&series),
        changes: history.changes,
        users: connections.by_user.into_iter().map(|of| (named(of.user), of.connections)).collect(),
        peers: connections.by_peer.into_iter().map(|of| (of.peer, of.connections)).collect(),
        drift: lines::configured_limit(&config.limit, config.limit.current)
            .map(|line| line.trim_end().to_owned()),
        step: config.setting("limits.signal_step").and_then(Value::as_u64),
        warn_percent: config.setting("limits.warn_percent").and_then(Value::as_f64),
    })
}

fn samples(series: &Series) -> Vec<Sample> {
    let Series { time, active, limit, accepted, rejected } = series;
    let counts = accepted.iter().zip(rejected);
    let numbers = active.iter().zip(limit).zip(counts);
    time.iter()
        .zip(numbers)
        .filter_map(|(&time, ((&active, &limit), (&accepted, &rejected)))| {
            Some(Sample { time: Timestamp::from_second(time).ok()?, active, limit, accepted, rejected })
        })
        .collect()
}

/// The recent rates per second. A total that falls means that the server has restarted.
pub(super) fn rates(samples: &[Sample]) -> Rates {
    let lately = samples.get(samples.len().saturating_sub(RATE_SPAN + 1)..).unwrap_or_default();
    let (Some(first), Some(last)) = (lately.first(), lately.last()) else { return Rates::default() };
    let seconds = last.time.duration_since(first.time).as_secs_f64();
    if seconds <= 0.0 {
        return Rates::default();
    }
    let rate = |total: fn(&Sample) -> u64| {
        let steps = lately.iter().zip(lately.iter().skip(1));
        let risen: u64 = steps.map(|(before, after)| total(after).saturating_sub(total(before))).sum();
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
        let risen = risen as f64;
        risen / seconds
    };
    Rates { accepted: rate(|sample| sample.accepted), rejected: rate(|sample| sample.rejected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, accepted: u64, rejected: u64) -> Sample {
        let time = Timestamp::from_second(second).unwrap();
        Sample { time, active: 1, limit: 4, accepted, rejected }
    }

    #[test]
    fn rates_are_means_over_the_last_seconds() {
        let samples: Vec<_> =
            (0..20_u32).map(|second| sample(second.into(), 10 * u64::from(second), 7)).collect();
        assert_eq!(rates(&samples), Rates { accepted: 10.0, rejected: 0.0 });
        assert_eq!(rates(&samples[..1]), Rates::default());
        assert_eq!(rates(&[]), Rates::default());
    }

    #[test]
    fn a_restart_of_the_server_makes_no_negative_rate() {
        let samples = [sample(0, 1000, 500), sample(1, 1010, 502), sample(3, 3, 0), sample(4, 5, 2)];
        assert_eq!(rates(&samples), Rates { accepted: 3.0, rejected: 1.0 });
    }

    #[test]
    fn columns_become_rows() {
        let series = Series {
            time: vec![60, 61],
            active: vec![1, 2],
            limit: vec![4, 4],
            accepted: vec![10, 12],
            rejected: vec![0, 3],
        };
        let samples = samples(&series);
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[1], Sample { active: 2, ..sample(61, 12, 3) });
        assert!((samples[1].usage() - 50.0).abs() < 1e-9);
    }
}
