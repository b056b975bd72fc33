//! `POST /reload`, and its channel to the daemon, which owns reloading.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::door::Asker;
use super::failure::ApiError;
use super::{Management, body, wire};
use crate::control::{Actor, Door};

/// How many reloads may wait; they are done one at a time.
const QUEUE: usize = 16;

/// Requests a reload of the config file from the daemon. A cheap handle.
#[derive(Debug, Clone)]
pub struct ReloadDoor {
    requests: mpsc::Sender<ReloadRequest>,
}

/// What the daemon receives.
#[derive(Debug)]
pub struct ReloadRequest {
    /// The door that it came through.
    pub door: Door,
    /// The caller.
    pub actor: Actor,
    /// Where to send the answer, once everything in it has happened.
    pub reply: oneshot::Sender<Result<wire::ReloadReport, ReloadRefusal>>,
}

/// Why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadRefusal {
    /// The file is unreadable or invalid; the text lists all its problems.
    #[error("{0}")]
    Invalid(String),
    /// The server is ending.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ReloadDoor {
    /// A door, and the receiver for the daemon.
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, inbox) = mpsc::channel(QUEUE);
        (Self { requests }, inbox)
    }

    /// Has the file read again. When this returns, its content is in force.
    ///
    /// # Errors
    /// [`ReloadRefusal`] says why nothing was changed.
    pub async fn reload(&self, door: Door, actor: Actor) -> Result<wire::ReloadReport, ReloadRefusal> {
        let (reply, answer) = oneshot::channel();
        let request = ReloadRequest { door, actor, reply };
        self.requests.send(request).await.map_err(|_| ReloadRefusal::ShuttingDown)?;
        answer.await.map_err(|_| ReloadRefusal::ShuttingDown)?
    }
}

/// Reads the config file again. When this is answered, what it says is in force.
#[utoipa::path(
    post,
    path = "/reload",
    responses(
        (
            status = 200,
            description = "The file is in force.",
            body = wire::ReloadReport,
            headers(("Shibudb-Stored" = Option<String>, description = "`false` if a restart would lose the limit in \
                effect; otherwise absent"))
        ),
        (status = 400, description = "The file cannot be used; the settings stay as they are.", body = wire::Failure),
    )
)]
pub(super) async fn reload(
    State(api): State<Management>,
    Asker { door, actor }: Asker,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(HeaderMap, Json<wire::ReloadReport>), ApiError> {
    body::no_fields(&headers, &body)?;
    let report = api.reload.reload(door, actor).await.map_err(|refusal| {
        let status = match refusal {
            ReloadRefusal::Invalid(_) => StatusCode::BAD_REQUEST,
            ReloadRefusal::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        ApiError::new(status, refusal.to_string())
    })?;
    let mut headers = HeaderMap::new();
    if api.control.not_stored().is_some() {
        headers.insert(wire::STORED_HEADER, HeaderValue::from_static(wire::NO));
    }
    Ok((headers, Json(report)))
}
