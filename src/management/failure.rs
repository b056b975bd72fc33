//! Converts a refusal to an answer: its status and its text.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::revision::etag;
use super::wire::Failure;
use crate::control::{LimitRefusal, Tag};
use crate::limiter::Refusal;

/// An answer other than success. Displays the text of the body.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    error: String,
    /// The state of the limit that the refusal is based on.
    etag: Option<HeaderValue>,
    /// Whether to report that a token is required.
    challenge: bool,
    /// Whether to close the connection.
    close: bool,
}

impl ApiError {
    /// The status of the answer: 4xx or 503.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), etag: None, challenge: false, close: false }
    }

    /// The request is malformed.
    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// The token is missing or wrong.
    pub(super) fn unauthorized(error: impl Into<String>) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, error) }
    }

    /// The change was refused while the limit was in the state that `tag` names.
    pub(super) fn refused(refusal: &LimitRefusal, tag: Tag) -> Self {
        let (status, tag) = match refusal {
            LimitRefusal::Limiter { reason: Refusal::NotPositive, .. } => (StatusCode::BAD_REQUEST, tag),
            LimitRefusal::Limiter {
                reason: Refusal::BelowActive { .. } | Refusal::AboveCeiling { .. },
                ..
            } => (StatusCode::CONFLICT, tag),
            LimitRefusal::RevisionMismatch { current, .. } => (StatusCode::PRECONDITION_FAILED, *current),
            LimitRefusal::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, tag),
        };
        Self { etag: Some(etag(tag)), ..Self::new(status, refusal.to_string()) }
    }

    /// Closes the connection after this answer: the rest of the request was not read, so nothing after it can be
    /// parsed, or the client is guessing tokens.
    pub(super) fn and_close(self) -> Self {
        Self { close: true, ..self }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Failure::new(self.error))).into_response();
        if let Some(etag) = self.etag {
            response.headers_mut().insert(header::ETAG, etag);
        }
        if self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
