//! The accept loop and the life of a connection to the API.
//!
//! Built on hyper itself, since `axum::serve` lacks what keeps the API available to administrators: a time limit for
//! the head of a request and for an idle connection, a cap on connections, and an accept loop that sorts its errors.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::http_error_body::HttpErrorBody;
use super::listener::Accepted;
use super::names::Names;
use super::streams::Streams;
use super::write_timeout::WriteTimeout;
use super::{Listener, Management, router};
use crate::accept_fault::AcceptFault;
use crate::awake::{AwakeTimer, timeout};

/// How long a connection may take for the head of its next request, idle time included.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// How long a connection may take from one request to the next. The body, the answer and the next head have limits of
/// their own; the rest is for the client to read the answer. An endless answer may go on, but no write may wait longer
/// than this for the client.
const REQUEST_TIME: Duration = Duration::from_secs(90);

/// The longest head of a request, in bytes. hyper checks its buffer only between two reads, of which the last may
/// exceed this; so it is checked once more here.
pub(super) const LONGEST_HEAD: usize = 32 * 1024;

/// How long to wait for descriptors when there are none.
const PAUSE: Duration = Duration::from_millis(100);

/// How long requests under way may take once the server was told to stop. The caller of [`serve`] waits longer: the API
/// should end by itself and send its last answers.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// Answers requests until `shutdown`, then finishes the ones under way.
///
/// # Errors
/// The error of `accept`, if it is neither one connection's fault nor a shortage that may pass.
pub async fn serve(
    listener: impl Into<Listener>,
    api: Management,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = listener.into();
    let slots = listener.connections(api.slots);
    let denials = Arc::clone(&api.denials);
    let streams = Streams::among(slots, shutdown.clone());
    let router = router(api, Names::of_this_machine());
    let mut log = pin!(denials.log());
    let mut connections = JoinSet::new();
    let mut short = false;
    let result = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            Some(ended) = connections.join_next() => report(ended),
            never = log.as_mut() => match never {},
            accepted = listener.accept(), if connections.len() < slots => match accepted {
                Ok(accepted) => {
                    short = false;
                    connections.spawn(converse(accepted, router.clone(), streams.of_connection(), shutdown.clone()));
                }
                Err(error) => match Errno::from_io_error(&error).map_or(AcceptFault::Listener, AcceptFault::of) {
                    AcceptFault::Connection => {}
                    AcceptFault::Shortage => {
                        if !short {
                            short = true;
                            tracing::warn!(%error,
                                "the management API cannot accept connections ({error}); trying again");
                        }
                        sleep(PAUSE).await;
                    }
                    AcceptFault::Listener => break Err(error),
                },
            },
        }
    };
    drop(listener);
    let farewell = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(FAREWELL, farewell).await.is_err() {
        tracing::debug!("closing management connections that did not finish in time");
    }
    denials.log_the_rest();
    result
}

/// Answers the requests of one connection, one after the other.
async fn converse(accepted: Accepted, router: Router, streams: Streams, shutdown: CancellationToken) {
    let (stream, caller) = match accepted.introduce() {
        Ok(introduced) => introduced,
        Err(error) => {
            return tracing::debug!(%error, "a management connection closed before its first request: \
            {error}");
        }
    };
    let begun = Arc::new(Notify::new());
    let stream = HttpErrorBody::new(WriteTimeout::new(stream, REQUEST_TIME));
    let service = service(router, caller.clone(), streams.clone(), Arc::clone(&begun));
    let connection = http1::Builder::new()
        .timer(AwakeTimer)
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(LONGEST_HEAD)
        // `printf 'GET ..' | nc -N` must get its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
            begun = timeout(REQUEST_TIME, begun.notified()) => if begun.is_err() && !streams.is_streaming() {
                let actor = caller.actor();
                return tracing::debug!(%actor, "closed the connection of the management client {actor}: it does not \
                    read its answer");
            },
        }
    };
    if let Err(error) = ended {
        let actor = caller.actor();
        tracing::debug!(%actor, %error, "the management connection of {actor} ended with an error: {error}");
    }
}

/// The router, which adds data about the connection to each request, and reports each request that begins.
fn service(
    router: Router,
    caller: Caller,
    streams: Streams,
    begun: Arc<Notify>,
) -> impl Service<hyper::Request<Incoming>, Response = Response, Error = std::convert::Infallible, Future: Send>
{
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: hyper::Request<Incoming>| {
        begun.notify_one();
        let too_long = head_length(&request) > LONGEST_HEAD;
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(streams.clone());
        let answer = (!too_long).then(|| router.call(request));
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Ok(head_too_long()),
            }
        }
    })
}

/// The length of the head as received, except for insignificant white space.
fn head_length(request: &hyper::Request<Incoming>) -> usize {
    const LINE_BREAK: usize = 2;
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1".len() + LINE_BREAK;
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + LINE_BREAK);
    line + fields.sum::<usize>() + LINE_BREAK
}

/// The same answer as hyper's to a head that is too long for its buffer; the
/// [`http_error_body`](super::http_error_body) adds the text to both.
fn head_too_long() -> Response {
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, [(CONNECTION, "close")]).into_response()
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "answering a management request failed: {error}");
    }
}
