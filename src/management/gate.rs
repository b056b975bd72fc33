//! The checks on every request before a handler sees it: its size, its time, its host, its origin, its token.
//!
//! Unless a token is configured, being able to connect is the permission. A browser on this machine can also connect,
//! on behalf of any web page, so two conditions apply to a request:
//!
//! - Its `Host` must be a name of this server. A page from `evil.example` whose name was rebound to 127.0.0.1 counts as
//!   same-origin for the browser, but still sends `Host: evil.example`. The port is not checked, since an SSH tunnel
//!   may have another one at its near end.
//! - It must not come from a page of another origin. Most changes need `Content-Type: application/json`, for which a
//!   browser asks permission first and gets none; but an increase by the step, a reset and a reload have no body, and a
//!   page may send those without asking. And though the browser keeps answers from such a page, many requests, or a few
//!   that never end, would take the places of permitted callers. The only exception is a link that a person has
//!   followed here from elsewhere.
//!
//! With a token, every request over TCP must carry it. The exceptions are `/health`, since a probe should work without
//! secrets and learns none, and the files of the page, which asks for the token. A caller on the Unix socket passed the
//! socket's permissions, and needs no token.
//!
//! The answer to a wrong token is delayed, and the client has to connect again. The wait holds a place, so only a part
//! of all places may wait at once: otherwise guesses could fill the others, too, and the right token would not get in.
//! Beyond that part, wrong tokens are answered at once. Such answers are logged and counted like the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::caller::Caller;
use super::denials::{Denials, Reason};
use super::failure::ApiError;
use super::listener::ConnectionSlots;
use super::names::{Names, check_host};
use super::page;
use super::token::Token;
use crate::awake::timeout;

/// The longest body that is accepted, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// How much of a body that is too long is read and discarded, in bytes. Closing a connection with unread input resets
/// it, and the client would lose the answer with the reason.
const DRAINED: usize = 8 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a handler may take. The longest wait is for the disk, behind other changes.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The delay of the answer to a wrong token.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(500);

/// One in this many places may wait for that delay.
const PLACES_TO_ONE_DELAY: usize = 4;

/// The one path of the API that is open without a token.
pub(super) const OPEN_PATH: &str = "/health";

/// The rules that requests must meet.
#[derive(Debug)]
pub(super) struct Gate {
    names: Names,
    /// The token in force; `None` if none is required.
    token: watch::Receiver<Option<Token>>,
    denials: Arc<Denials>,
    /// How many more answers may be delayed.
    delays: Semaphore,
}

/// Lets a request through to its handler, or answers it here.
pub(super) async fn admit(
    State(gate): State<Arc<Gate>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let body = read(&parts.headers, body).await?;
        check_host(&parts, &gate.names, caller.local(), gate.token.borrow().is_some())?;
        check_origin(&parts)?;
        gate.check_token(&parts, caller).await?;
        timeout(ANSWER_TIME, next.run(Request::from_parts(parts, Body::from(body)))).await.map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is too busy to answer in time; the change may still apply, check /history",
            )
        })
    };
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Gate {
    pub(super) fn new(
        names: Names,
        token: watch::Receiver<Option<Token>>,
        denials: Arc<Denials>,
        slots: ConnectionSlots,
    ) -> Self {
        let delays = Semaphore::new((slots.tcp / PLACES_TO_ONE_DELAY).max(1));
        Self { names, token, denials, delays }
    }

    async fn check_token(&self, parts: &Parts, caller: Caller) -> Result<(), ApiError> {
        let Caller::Network { peer, .. } = caller else { return Ok(()) };
        let Some(reason) = self.objection(parts) else { return Ok(()) };
        self.denials.count(reason, peer);
        match reason {
            Reason::WrongToken => {
                if let Ok(_delay) = self.delays.try_acquire() {
                    sleep(WRONG_TOKEN_DELAY).await;
                }
                let error = "wrong token: it is not the one in the server's token file";
                Err(ApiError::unauthorized(error).and_close())
            }
            Reason::NoToken => Err(ApiError::unauthorized(
                "missing token: send the header `Authorization: Bearer TOKEN`, or use --token-file FILE with shibudb \
                 manager",
            )),
        }
    }

    /// What is wrong with the token of a request, if anything.
    fn objection(&self, parts: &Parts) -> Option<Reason> {
        let token = self.token.borrow();
        let path = parts.uri.path();
        let token = token.as_ref().filter(|_| path != OPEN_PATH && !page::has(path))?;
        match bearer(&parts.headers) {
            Some(candidate) if token.is(candidate) => None,
            Some(_) => Some(Reason::WrongToken),
            None => Some(Reason::NoToken),
        }
    }
}

/// The whole body, so that no handler waits for a client.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let too_long = || {
        let limit = LONGEST_BODY / 1024;
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit} KiB"))
    };
    // A client that asks before it sends has nothing under way that must be drained.
    if headers.contains_key(header::EXPECT) && declared_length(headers) > Some(LONGEST_BODY) {
        return Err(too_long().and_close());
    }
    let collect = async {
        let mut body = body;
        let (mut bytes, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                ApiError::bad_request(format!("the body could not be read: {error}")).and_close()
            })?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            if length > DRAINED {
                return Err(too_long().and_close());
            }
            if length <= LONGEST_BODY {
                bytes.extend_from_slice(&data);
            }
        }
        if length > LONGEST_BODY { Err(too_long()) } else { Ok(Bytes::from(bytes)) }
    };
    timeout(BODY_TIME, collect).await.unwrap_or_else(|_| {
        let error = "the body did not arrive in time";
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, error).and_close())
    })
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_origin(parts: &Parts) -> Result<(), ApiError> {
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let own = text("host").map(|host| format!("http://{host}"));
    let foreign_origin =
        text("origin").is_some_and(|origin| own.is_none_or(|own| !own.eq_ignore_ascii_case(origin)));
    // https://www.w3.org/TR/fetch-metadata/
    let foreign_site = text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if !foreign_origin && !foreign_site {
        return Ok(());
    }
    let error = match parts.method {
        Method::GET | Method::HEAD if text("sec-fetch-dest") == Some("document") => return Ok(()),
        Method::GET | Method::HEAD | Method::OPTIONS => {
            "requests from web pages of another origin are refused"
        }
        _ => "changes from web pages of another origin are refused",
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, error).and_close())
}

/// The token of a request, if it is sent in the right way.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
