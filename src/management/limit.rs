//! `/limit` and below: the limit's state, and every way to change it over HTTP.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::IntoResponses;

use super::door::Asker;
use super::failure::ApiError;
use super::openapi::Conditional;
use super::revision::{etag, if_match};
use super::wire::{CurrentLimit, Decreased, Increased, NO, RECORDED_HEADER, STORED_HEADER, Status, Updated};
use super::{Management, body, wire};
use crate::control::{Amount, Change, LimitChange, LimitRequest, Stored, Tag};

/// An answer with the state of the limit that it is about.
type Tagged<T> = (HeaderMap, Json<T>);

/// What every change may be answered with instead, for the document alone: [`ApiError::refused`] decides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its shape is of interest")]
enum Refused {
    /// Not with the connections that are active, or beyond what the process can hold.
    #[response(status = 409, headers(("ETag" = String, description = "Identifies this state of the limit; never \
        reused")))]
    Conflict(wire::Failure),
    /// The revision is another.
    #[response(status = 412, headers(("ETag" = String, description = "Identifies this state of the limit; never \
        reused")))]
    OtherRevision(wire::Failure),
}

/// The limit, and how many connections are open.
#[utoipa::path(
    get,
    path = "/limit",
    responses((status = 200, description = "Both values from the same \
        instant.", body = CurrentLimit, headers(("ETag" = String, description = "Identifies this state of the limit; \
        never reused"))))
)]
pub(super) async fn read(State(api): State<Management>) -> Tagged<CurrentLimit> {
    // The revision first: an old one with a newer limit fails an If-Match that should have failed anyway.
    let tag = api.control.tag(api.control.revision());
    let now = api.limiter.snapshot();
    tagged(tag, Stored::ALL, CurrentLimit { current_limit: now.limit, active_connections: now.active })
}

/// Sets the limit.
#[utoipa::path(
    put,
    path = "/limit",
    request_body = wire::SetLimit,
    params(Conditional),
    responses(
        (
            status = 200,
            description = "It is in force.",
            body = Updated,
            headers(
                ("ETag" = String, description = "Identifies this state of the limit; never reused"),
                ("Shibudb-Stored" = Option<String>, description = "`false` if a restart would lose it; otherwise \
                    absent"),
                ("Shibudb-Recorded" = Option<String>, description = "`false` if its record is not in the history \
                    file; otherwise absent"),
            )
        ),
        Refused,
    )
)]
pub(super) async fn set(
    State(api): State<Management>,
    asker: Asker,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Tagged<Updated>, ApiError> {
    let limit = body::limit(&headers, &body)?;
    let change = change(&api, asker, &headers, Change::Set(limit)).await?;
    Ok(updated(&api, change))
}

/// Raises the limit: by the amount, or without a body by the configured step.
#[utoipa::path(
    post,
    path = "/limit/increase",
    request_body = wire::Amount,
    params(Conditional),
    responses(
        (
            status = 200,
            description = "It is in force.",
            body = Increased,
            headers(
                ("ETag" = String, description = "Identifies this state of the limit; never reused"),
                ("Shibudb-Stored" = Option<String>, description = "`false` if a restart would lose it; otherwise \
                    absent"),
                ("Shibudb-Recorded" = Option<String>, description = "`false` if its record is not in the history \
                    file; otherwise absent"),
            )
        ),
        Refused,
    )
)]
pub(super) async fn increase(
    State(api): State<Management>,
    asker: Asker,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Tagged<Increased>, ApiError> {
    let amount = amount(&headers, &body)?;
    let LimitChange { revision, old, new, stored, .. } =
        change(&api, asker, &headers, Change::Increase(amount)).await?;
    Ok(tagged(
        api.control.tag(revision),
        stored,
        Increased {
            status: Status::Success,
            old_limit: old,
            new_limit: new,
            increase_amount: new - old,
            message: format!("Connection limit increased from {old} to {new}"),
        },
    ))
}

/// Lowers the limit: by the amount, or without a body by the configured step.
#[utoipa::path(
    post,
    path = "/limit/decrease",
    request_body = wire::Amount,
    params(Conditional),
    responses(
        (
            status = 200,
            description = "It is in force.",
            body = Decreased,
            headers(
                ("ETag" = String, description = "Identifies this state of the limit; never reused"),
                ("Shibudb-Stored" = Option<String>, description = "`false` if a restart would lose it; otherwise \
                    absent"),
                ("Shibudb-Recorded" = Option<String>, description = "`false` if its record is not in the history \
                    file; otherwise absent"),
            )
        ),
        Refused,
    )
)]
pub(super) async fn decrease(
    State(api): State<Management>,
    asker: Asker,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Tagged<Decreased>, ApiError> {
    let amount = amount(&headers, &body)?;
    let LimitChange { revision, old, new, stored, .. } =
        change(&api, asker, &headers, Change::Decrease(amount)).await?;
    Ok(tagged(
        api.control.tag(revision),
        stored,
        Decreased {
            status: Status::Success,
            old_limit: old,
            new_limit: new,
            decrease_amount: old - new,
            message: format!("Connection limit decreased from {old} to {new}"),
        },
    ))
}

/// Goes back to the configured limit. The override is forgotten.
#[utoipa::path(
    post,
    path = "/limit/reset",
    params(Conditional),
    responses(
        (
            status = 200,
            description = "It is in force.",
            body = Updated,
            headers(
                ("ETag" = String, description = "Identifies this state of the limit; never reused"),
                ("Shibudb-Stored" = Option<String>, description = "`false` if a restart would lose it; otherwise \
                    absent"),
                ("Shibudb-Recorded" = Option<String>, description = "`false` if its record is not in the history \
                    file; otherwise absent"),
            )
        ),
        Refused,
    )
)]
pub(super) async fn reset(
    State(api): State<Management>,
    asker: Asker,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Tagged<Updated>, ApiError> {
    body::no_fields(&headers, &body)?;
    let change = change(&api, asker, &headers, Change::Reset).await?;
    Ok(updated(&api, change))
}

async fn change(
    api: &Management,
    Asker { door, actor }: Asker,
    headers: &HeaderMap,
    change: Change,
) -> Result<LimitChange, ApiError> {
    let if_revision = if_match(headers).map_err(ApiError::bad_request)?;
    let request = LimitRequest { change, door, actor, if_revision };
    api.control
        .change(request)
        .await
        .map_err(|refusal| ApiError::refused(&refusal, api.control.tag(api.control.revision())))
}

fn amount(headers: &HeaderMap, body: &Bytes) -> Result<Amount, ApiError> {
    Ok(body::amount(headers, body)?.map_or(Amount::Step, Amount::By))
}

fn updated(api: &Management, LimitChange { revision, new, stored, .. }: LimitChange) -> Tagged<Updated> {
    let message = format!("Connection limit updated to {new}");
    tagged(api.control.tag(revision), stored, Updated { status: Status::Success, new_limit: new, message })
}

fn tagged<T: Serialize>(tag: Tag, stored: Stored, answer: T) -> Tagged<T> {
    let mut headers = HeaderMap::from_iter([(header::ETAG, etag(tag))]);
    for (name, is_done) in [(STORED_HEADER, stored.limit), (RECORDED_HEADER, stored.record)] {
        if !is_done {
            headers.insert(name, HeaderValue::from_static(NO));
        }
    }
    (headers, Json(answer))
}
