//! The last hour, second by second.

use axum::Json;
use axum::extract::State;

use super::failure::ApiError;
use super::query::{Parameters, number};
use super::wire::{LONGEST_SERIES, Series};
use super::{Management, wire};
use crate::series::Sample;

/// Connections against the limit over the last hour at most, a sample a second.
#[utoipa::path(
    get,
    path = "/series",
    params(("seconds" = Option<u16>, Query, minimum = 1, maximum = 3600,
        description = "How far back, in seconds; default 3600")),
    responses(
        (status = 200, description = "Columns of equal length, the oldest sample first.", body = Series),
        (status = 400, description = "The query is malformed.", body = wire::Failure),
    )
)]
pub(super) async fn read(
    State(api): State<Management>,
    parameters: Parameters,
) -> Result<Json<Series>, ApiError> {
    let seconds = number(parameters, "seconds", LONGEST_SERIES)?.unwrap_or(LONGEST_SERIES);
    Ok(Json(columns(&api.series.last(seconds))))
}

/// One sample in the wire format.
pub(super) fn sample(sample: Sample) -> wire::Sample {
    let Sample { second: time, active, limit, accepted, rejected } = sample;
    wire::Sample { time, active, limit, accepted, rejected }
}

fn columns(samples: &[Sample]) -> Series {
    Series {
        time: samples.iter().map(|sample| sample.second).collect(),
        active: samples.iter().map(|sample| sample.active).collect(),
        limit: samples.iter().map(|sample| sample.limit).collect(),
        accepted: samples.iter().map(|sample| sample.accepted).collect(),
        rejected: samples.iter().map(|sample| sample.rejected).collect(),
    }
}
