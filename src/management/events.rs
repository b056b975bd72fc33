//! Events as they happen: server-sent events.
//!
//! | event | data | when |
//! |---|---|---|
//! | `sample` | [`wire::Sample`] | once a second, and the newest at once |
//! | `change` | [`wire::HistoryEntry`] | control has recorded an attempt to change the limit |
//! | `config` | [`wire::Revision`] | `GET /config` may answer something else |
//! | `missed` | [`wire::Missed`] | more changes than this client could be told; they are in `GET /history` |
//!
//! A client that subscribes first and then reads `/series`, `/history` and `/config` misses nothing. For a slow client
//! only a few dozen changes and the newest sample are kept; [`super::write_timeout`] cuts off one that reads nothing at
//! all.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::watch;

use super::failure::ApiError;
use super::reports::entry;
use super::series::sample;
use super::streams::{Streaming, Streams};
use super::{Management, Token, wire};
use crate::control::{self, Control, Subscription};
use crate::series::Sample;

/// The events for one client.
struct Feed {
    streaming: Streaming,
    control: Control,
    subscription: Subscription,
    samples: watch::Receiver<Option<Sample>>,
    config: watch::Receiver<Arc<wire::LoadedConfig>>,
    store: watch::Receiver<wire::StoreReport>,
    tokens: watch::Receiver<Option<Token>>,
    /// The token in force when the client was admitted.
    token: Option<Token>,
}

/// Samples, changes of the limit and of the configuration, as server-sent events.
#[utoipa::path(
    get,
    path = "/events",
    responses(
        (status = 200, description = "An endless stream of events: `sample` (Sample) once a second, `change` \
            (HistoryEntry) for every attempt to change the limit, `config` (Revision) when the answer of /config may \
            have changed, `missed` (Missed) when changes were skipped.",
            content((String = "text/event-stream"))),
        (status = 503, description = "Too many streams are open, or the server is too busy.", body = wire::Failure),
    )
)]
pub(super) async fn read(
    State(api): State<Management>,
    Extension(streams): Extension<Streams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let streaming = streams.begin().ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many /events streams; poll /series or retry later",
        )
    })?;
    let feed = Feed::new(api, streaming);
    Ok(Sse::new(unfold(feed, |mut feed| async move { feed.next().await.map(|event| (Ok(event), feed)) })))
}

impl Feed {
    fn new(api: Management, streaming: Streaming) -> Self {
        let Management { control, series, mut config, mut store, token: mut tokens, .. } = api;
        config.mark_unchanged();
        store.mark_unchanged();
        let token = tokens.borrow_and_update().clone();
        let mut samples = series.latest();
        samples.mark_changed();
        Self { streaming, subscription: control.follow(), control, samples, config, store, tokens, token }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                () = self.streaming.over() => return None,
                changed = self.tokens.changed() => {
                    changed.ok()?;
                    // A client that still has access may reconnect.
                    if !is_same(self.token.as_ref(), self.tokens.borrow_and_update().as_ref()) {
                        return None;
                    }
                }
                news = self.subscription.next() => return match news? {
                    control::Event::Attempt(record) => event("change", &entry(record)),
                    control::Event::Missed(changes) => event("missed", &wire::Missed { changes }),
                    control::Event::LimitState => self.config_event(),
                },
                changed = self.config.changed() => {
                    changed.ok()?;
                    return self.config_event();
                }
                changed = self.store.changed() => {
                    changed.ok()?;
                    return self.config_event();
                }
                changed = self.samples.changed() => {
                    changed.ok()?;
                    if let Some(newest) = *self.samples.borrow_and_update() {
                        return event("sample", &sample(newest));
                    }
                }
            }
        }
    }

    fn config_event(&self) -> Option<Event> {
        event("config", &wire::Revision { revision: self.control.revision() })
    }
}

/// Names and numbers always serialize, so there always is one.
fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}

fn is_same(one: Option<&Token>, other: Option<&Token>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is(other.secret().as_bytes()),
        _ => false,
    }
}
