//! Read-only endpoints: health, statistics, history, configuration.

use axum::Json;
use axum::extract::State;

use super::failure::ApiError;
use super::query::{Parameters, number};
use super::wire::{
    ConfigReport, DEFAULT_HISTORY, DEGRADED, HEALTHY, Health, History, HistoryEntry, LIMIT_KEY,
    LONGEST_HISTORY, LimitReport, Outcome, Override, RefusedEdit, SERVICE, Source, Stats,
};
use super::{Management, wire};
use crate::control::{self, BaseSource, LimitState, Record};

/// Whether the server is healthy. Needs no token.
#[utoipa::path(
    get,
    path = "/health",
    security(()),
    responses((status = 200, description = "It serves; its status says whether it takes writes.", body = Health))
)]
pub(super) async fn health(State(api): State<Management>) -> Json<Health> {
    // It serves in any case: a restart would free no disk space.
    let status = if api.store.borrow().is_ok() { HEALTHY } else { DEGRADED };
    Json(Health { status: status.into(), service: SERVICE.into() })
}

/// How much of the limit is in use.
#[utoipa::path(
    get,
    path = "/stats",
    responses((status = 200, description = "All values from the same instant.", body = Stats))
)]
pub(super) async fn stats(State(api): State<Management>) -> Json<Stats> {
    let now = api.limiter.snapshot();
    Json(Stats {
        active_connections: now.active,
        max_connections: now.limit,
        usage_percentage: readable(now.usage_percentage()),
        available_slots: now.available(),
    })
}

/// The attempts to change the limit, applied and refused, newest first.
#[utoipa::path(
    get,
    path = "/history",
    params(("limit" = Option<u16>, Query, minimum = 1, maximum = 1000,
        description = "Maximum number of entries; default 50")),
    responses(
        (status = 200, description = "The most recent attempts.", body = History),
        (status = 400, description = "The query is malformed.", body = wire::Failure),
    )
)]
pub(super) async fn history(
    State(api): State<Management>,
    parameters: Parameters,
) -> Result<Json<History>, ApiError> {
    let count = number(parameters, "limit", LONGEST_HISTORY)?.unwrap_or(DEFAULT_HISTORY);
    let changes = api.control.history().latest(count.into()).into_iter().map(entry).collect();
    Ok(Json(History { changes }))
}

/// Every setting, where its value comes from, and what the limit rests on.
#[utoipa::path(
    get,
    path = "/config",
    responses((status = 200, description = "As it is in force.", body = ConfigReport))
)]
pub(super) async fn config(State(api): State<Management>) -> Json<ConfigReport> {
    let limit_state = api.control.limit_state();
    let limit = limit_report(limit_state, &api);
    let loaded = api.config.borrow().clone();
    let mut settings = loaded.settings.clone();
    if let Some(setting) = settings.iter_mut().find(|setting| setting.key == LIMIT_KEY) {
        setting.value = limit.current.into();
        setting.source = if limit.override_.is_some() { Source::Override } else { limit.base_source };
        setting.pending = limit.refused.as_ref().map(|refused| refused.limit.into());
    }
    let wire::LoadedConfig { file, awaited_file, last_reload, troubled_files, log_file, .. } =
        (*loaded).clone();
    let store = api.store.borrow().clone();
    Json(ConfigReport { file, awaited_file, limit, settings, last_reload, troubled_files, store, log_file })
}

/// A percentage that a shell can read. Below a ten-thousandth `jq` would print it with an exponent, which `bc` and `[`
/// do not understand; the rounding does not matter for any alert.
fn readable(percentage: f64) -> f64 {
    if percentage < 1e-4 { (percentage * 1e4).round() / 1e4 } else { percentage }
}

/// A record in the wire format.
pub(super) fn entry(record: Record) -> HistoryEntry {
    let Record { time, revision, door, actor, old, new, active, outcome, count, last_time } = record;
    let (outcome, reason) = match outcome {
        control::Outcome::Applied => (Outcome::Applied, None),
        control::Outcome::Refused { reason } => (Outcome::Refused, Some(reason)),
    };
    HistoryEntry {
        time,
        revision,
        door: door.to_string(),
        actor,
        old,
        new,
        active,
        outcome,
        reason,
        count,
        last_time,
    }
}

fn limit_report(limit_state: LimitState, api: &Management) -> LimitReport {
    let ceiling = api.limiter.ceiling();
    LimitReport {
        waiting: limit_state.waiting(),
        not_stored: api.control.not_stored(),
        current: api.limiter.snapshot().limit,
        base: limit_state.base,
        base_source: match limit_state.base_source {
            BaseSource::CommandLine => Source::CommandLine,
            BaseSource::File => Source::File,
            BaseSource::Default => Source::Default,
        },
        ceiling,
        revision: limit_state.revision,
        override_: limit_state.override_.map(|override_| Override {
            limit: override_.limit,
            door: override_.door.to_string(),
            actor: override_.actor,
            time: override_.time,
            clamped_to: (override_.limit > ceiling).then_some(ceiling),
        }),
        refused: limit_state.refused_edit.map(|edit| RefusedEdit { limit: edit.wanted, reason: edit.reason }),
        unwritten_records: api.control.history().unwritten(),
    }
}
