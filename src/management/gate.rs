//! What every request has to pass before a handler sees it: its size, its time, its host, its
//! origin, its token.
//!
//! Unless a token is configured, being able to connect is the permission. A browser on this machine
//! can connect, too, on behalf of any web page, so two things are asked of a request:
//!
//! - Its `Host` must be a name of this server. A page from `evil.example` whose name was rebound to
//!   127.0.0.1 counts as same-origin for the browser, but still sends `Host: evil.example`. The
//!   port is not looked at, since an SSH tunnel may have another one at its near end.
//! - If it can change something, it must not come from a page of another origin. Most changes need
//!   `Content-Type: application/json`, for which a browser asks permission first and gets none; but
//!   an increase by the step, a reset and a reload have no body, and a page may send those unasked.
//!
//! With a token, every request over TCP has to carry it, except to `/health`: a probe is to work
//! without secrets, and what it hears is none. Whoever comes over the Unix socket was let in by the
//! socket's permissions, and is not asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::caller::Caller;
use super::failure::ApiError;
use super::token::Token;

/// The longest body that is understood, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// How much of a body that is too long is read and thrown away, in bytes. Closing a connection with
/// unread input resets it, and the client would lose the answer that tells why.
const DRAINED: usize = 8 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a handler may take. The longest wait is for the disk, behind other changes.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The one path that is open without a token.
pub(super) const OPEN_PATH: &str = "/health";

/// What requests are held against.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) names: Names,
    /// The token in force; `None` if none is asked for.
    pub(super) token: watch::Receiver<Option<Token>>,
}

/// The names of this server, apart from its addresses.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

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
        check_host(&parts, &gate.names, caller.local())?;
        check_origin(&parts)?;
        check_token(&parts, caller, gate.token.borrow().as_ref())?;
        timeout(ANSWER_TIME, next.run(Request::from_parts(parts, Body::from(body)))).await.map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is too busy to answer; what was asked may still be done, see /history",
            )
        })
    };
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Names {
    /// `localhost` and the machine's own name, with and without its domain.
    pub(super) fn of_this_machine() -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = machine.split('.').next().unwrap_or_default().to_owned();
        Self(vec!["localhost".to_owned(), machine, short])
    }

    /// Whether `host`, as it stands in a URL, is this server. Any loopback address is.
    fn include(&self, host: &str, local: IpAddr) -> bool {
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: Option<IpAddr> = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match address.map(|address| address.to_canonical()) {
            Some(address) => address.is_loopback() || address == local.to_canonical(),
            None => {
                let host = host.strip_suffix('.').unwrap_or(host);
                !host.is_empty() && self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
            }
        }
    }
}

/// The whole body, so that no handler waits for a client.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let too_long = || {
        let limit = LONGEST_BODY / 1024;
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit} KiB"))
    };
    // A client that asks before it sends has nothing in flight that must be drained.
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

fn check_host(parts: &Parts, names: &Names, local: IpAddr) -> Result<(), ApiError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        // Health checks of load balancers still do this; browsers never do.
        (None, _) if parts.version == Version::HTTP_10 => "localhost",
        (None, _) => return Err(ApiError::bad_request("the Host header is missing")),
        (Some(_), Some(_)) => return Err(ApiError::bad_request("there is more than one Host header")),
    };
    // A request line may name the server as well; neither may be a stranger.
    for host in [Some(host), parts.uri.authority().map(Authority::as_str)].into_iter().flatten() {
        let name = host_name(host)
            .ok_or_else(|| ApiError::bad_request("the Host header is not a host with or without a port"))?;
        if !names.include(&name, local) {
            return Err(ApiError::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("{name} is not a name of this server, localhost is"),
            ));
        }
    }
    Ok(())
}

/// The host without its port; `None` if it is malformed.
fn host_name(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    let name = authority.host();
    let port = host.strip_prefix(name)?;
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    port_is_fine.then(|| name.to_owned())
}

fn check_origin(parts: &Parts) -> Result<(), ApiError> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name| parts.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let own = text(header::HOST).map(|host| format!("http://{host}"));
    let foreign_origin =
        text(header::ORIGIN).is_some_and(|origin| own.is_none_or(|own| !own.eq_ignore_ascii_case(origin)));
    let sec_fetch_site = text(header::HeaderName::from_static("sec-fetch-site"));
    if foreign_origin || sec_fetch_site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "web pages of another origin may not change anything here",
        ));
    }
    Ok(())
}

fn check_token(parts: &Parts, caller: Caller, token: Option<&Token>) -> Result<(), ApiError> {
    let Some(token) = token else { return Ok(()) };
    if caller.is_vouched_for() || parts.uri.path() == OPEN_PATH {
        return Ok(());
    }
    match bearer(&parts.headers) {
        Some(candidate) if token.is(candidate) => Ok(()),
        Some(_) => Err(ApiError::unauthorized("the token is not the one that this server expects")),
        None => Err(ApiError::unauthorized(
            "this server expects a token: a header `Authorization: Bearer TOKEN`, or --token-file FILE \
             with shibudb manager",
        )),
    }
}

/// The token that a request carries, if it is one in the right way.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_and_addresses_are_included_and_nothing_else() {
        let names = Names(vec!["localhost".into(), "db1.example".into(), "db1".into()]);
        let local: IpAddr = "192.0.2.7".parse().unwrap();
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "192.0.2.7",
            "db1",
            "DB1.example",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(names.include(host, local), "{host}");
        }
        for host in [
            "",
            ".",
            "evil.example",
            "localhost.evil.example",
            "0.0.0.0",
            "192.0.2.8",
            "[::]",
            "[::2]",
            "::1",
            "db1.example.evil.example",
            "127.0.0.1.nip.io",
        ] {
            assert!(!names.include(host, local), "{host}");
        }
    }

    #[test]
    fn a_port_is_cut_off_and_must_be_one() {
        assert_eq!(host_name("localhost:10090").as_deref(), Some("localhost"));
        assert_eq!(host_name("[::1]:10090").as_deref(), Some("[::1]"));
        assert_eq!(host_name("localhost:").as_deref(), Some("localhost"));
        assert_eq!(host_name("[::1]").as_deref(), Some("[::1]"));
        for host in ["", "localhost:x", "localhost:65536", "user@localhost", "a b", "localhost/"] {
            assert_eq!(host_name(host), None, "{host}");
        }
    }
}
