//! The HTTP API: a router, thin handlers, and the wire types shared with the command line.
//!
//! | request | answers | refuses with |
//! |---|---|---|
//! | `GET /health` | [`wire::Health`] | |
//! | `GET /stats` | [`wire::Stats`] | |
//! | `GET /limit` | [`wire::CurrentLimit`] | |
//! | `PUT /limit` `{"limit":N}` | [`wire::Updated`] | 400, 409, 412 |
//! | `POST /limit/increase` `{"amount":N}` or nothing | [`wire::Increased`] | 400, 409, 412 |
//! | `POST /limit/decrease` `{"amount":N}` or nothing | [`wire::Decreased`] | 400, 409, 412 |
//! | `POST /limit/reset` | [`wire::Updated`] | 409, 412 |
//! | `GET /history?limit=N` | [`wire::History`] | 400 |
//! | `GET /series?seconds=N` | [`wire::Series`] | 400 |
//! | `GET /events` | [server-sent events](events) | 503 |
//! | `GET /connections` | [`wire::ConnectionList`] | 400 |
//! | `GET /rejections` | [`wire::Rejections`] | |
//! | `DELETE /connections/{id}` | [`wire::EndedConnection`] | 400, 404 |
//! | `GET /config` | [`wire::ConfigReport`] | |
//! | `POST /reload` | [`wire::ReloadReport`] | 400 |
//! | `GET /metrics` | [`Management::metrics`] as Prometheus reads it | |
//! | `GET /` | [the live page](page), which asks for the rest itself | |
//! | `GET /openapi.json` | all of this as OpenAPI 3.1 | |
//!
//! Every error is a [`wire::Failure`]. Any request may get 401, 403, 405, 408, 413, 414, 415, 421, 431 or 503 on
//! its way in. `HEAD` works where `GET` does; `OPTIONS` names the methods. The answers of `/limit*`
//! carry the revision in their `ETag`, and `If-Match` makes a change conditional on it.
//!
//! A handler never changes anything itself: it calls [`crate::control`] or the daemon, and converts the answer to the
//! wire format. Nothing here blocks a thread, and nothing here waits for a client's connection, so the API answers at
//! 100 % usage.

pub mod body;
mod caller;
mod connections;
mod denials;
mod door;
mod events;
mod failure;
mod gate;
mod http_error_body;
mod limit;
mod listener;
mod metrics;
mod names;
mod openapi;
mod page;
mod query;
mod reload;
mod reports;
mod revision;
mod series;
mod serve;
mod streams;
mod token;
pub mod wire;
mod write_timeout;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::Control;
use crate::limiter::Limiter;
use crate::series::Series;

use gate::Gate;
use names::Names;
use openapi::Document;

pub use connections::Connections;
pub use denials::{Denials, Denied, Reason};
pub use failure::ApiError;
pub use listener::{ConnectionSlots, Listener};
pub use reload::{ReloadDoor, ReloadRefusal, ReloadRequest};
pub(crate) use serve::FAREWELL;
pub use serve::serve;
pub use token::{Token, TokenError};

/// What the API reports on, and where it requests changes. A cheap handle.
#[derive(Debug, Clone)]
pub struct Management {
    /// Read for the statistics; never changed from here.
    pub limiter: Limiter,
    /// Asked for every change of the limit.
    pub control: Control,
    /// Asked to read the config file again.
    pub reload: ReloadDoor,
    /// The configuration as the daemon last published it.
    pub config: watch::Receiver<Arc<wire::LoadedConfig>>,
    /// The state of the store.
    pub store: watch::Receiver<wire::StoreReport>,
    /// The token that clients have to send, if any.
    pub token: watch::Receiver<Option<Token>>,
    /// Notified of every request without the right token.
    pub denials: Arc<Denials>,
    /// All metrics.
    pub metrics: Arc<Registry>,
    /// Who is connected.
    pub connections: Arc<dyn Connections>,
    /// The last hour.
    pub series: Series,
    /// How many connections may be open at once.
    pub slots: ConnectionSlots,
}

/// Every endpoint, behind the checks for all requests.
fn router(api: Management, names: Names) -> Router {
    let gate = Gate::new(names, api.token.clone(), Arc::clone(&api.denials), api.slots);
    let (router, description) = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(reports::health))
        .routes(routes!(reports::stats))
        .routes(routes!(limit::read, limit::set))
        .routes(routes!(limit::increase))
        .routes(routes!(limit::decrease))
        .routes(routes!(limit::reset))
        .routes(routes!(reports::history))
        .routes(routes!(series::read))
        .routes(routes!(events::read))
        .routes(routes!(connections::list))
        .routes(routes!(connections::end))
        .routes(routes!(connections::rejections))
        .routes(routes!(reports::config))
        .routes(routes!(reload::reload))
        .routes(routes!(metrics::read))
        .routes(routes!(openapi::read))
        .split_for_parts();
    router
        .merge(page::routes())
        .layer(Extension(Document::complete(description)))
        .fallback(unknown_path)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::new(gate), gate::admit))
        .with_state(api)
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no {}", request.uri().path()))
}

/// The router adds the `Allow` header to this answer.
async fn other_method(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not answer {method}")).into_response()
}
