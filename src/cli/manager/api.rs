//! The client side of the management API: sends one request and returns its answer or an error.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, redirect};
use serde::de::DeserializeOwned;

use super::endpoint::Endpoint;
use crate::management::Token;
use crate::management::wire::{CLI_DOOR, DOOR_HEADER, Failure, NO, RECORDED_HEADER, STORED_HEADER};

/// The overall timeout is this much longer than the timeout of the connection, so that a failed connection is reported
/// as such, and not as a missing answer.
const LATER: Duration = Duration::from_millis(100);

/// The longest accepted answer, in bytes: enough for the longest list of connections, unless their users
/// and spaces have very long names.
const LONGEST_ANSWER: usize = 64 << 20;

/// The management API of a server.
pub(super) struct Api {
    client: Client,
    endpoint: Endpoint,
    /// The timeout of a request.
    max_wait: Duration,
    /// Whether a request was sent that changes something.
    changes: Cell<bool>,
}

/// A successful answer.
pub(super) struct Answer<T> {
    /// What it means.
    pub(super) value: T,
    /// The body, unchanged.
    body: String,
    /// Whether the next start begins with the limit that was set.
    is_stored: bool,
    /// Whether the record of that change is in the history file.
    is_recorded: bool,
}

/// Why there is no successful answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The connection failed, or there was no answer.
    #[error("Failed to connect to management server: {cause}")]
    Unreachable {
        /// Why, in the few lower-case words of the founding document.
        cause: String,
        /// Whether the system reports that there is no listener.
        refused: bool,
        /// The underlying error.
        source: reqwest::Error,
    },
    /// Another server answered, not this API.
    #[error("the server on {endpoint} is not shibudb's management API")]
    Stranger {
        /// The port or socket asked.
        endpoint: String,
    },
    /// The answer exceeds the size limit.
    #[error("the answer from {endpoint} is longer than {} MiB; ask for less", LONGEST_ANSWER >> 20)]
    Endless {
        /// The port or socket asked.
        endpoint: String,
    },
    /// The server accepts connections, but does not answer.
    #[error("{endpoint} accepted the connection but did not answer within {max_wait:?}; use --timeout to wait \
        longer{}",
            if *changes { ". The change may still apply; check `history`" } else { "" })]
    Silent {
        /// The port or socket asked.
        endpoint: String,
        /// How long the client waited.
        max_wait: Duration,
        /// Whether the request was to change something.
        changes: bool,
    },
    /// The server refused the request.
    #[error("{0}")]
    Refused(String),
    /// The HTTP client could not be created.
    #[error("cannot prepare to connect: {0}")]
    Client(#[source] reqwest::Error),
}

impl Api {
    /// An API that may take `max_wait` for all requests together. The caller enforces that total.
    pub(super) fn new(
        endpoint: Endpoint,
        token: Option<&Token>,
        max_wait: Duration,
    ) -> Result<Self, ApiError> {
        let door = (HeaderName::from_static(DOOR_HEADER), HeaderValue::from_static(CLI_DOOR));
        let mut headers = HeaderMap::from_iter([door]);
        if let Some(token) = token {
            // A token is printable ASCII, and so is a header value; this fails for nothing else.
            if let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {}", token.secret())) {
                bearer.set_sensitive(true);
                headers.insert(AUTHORIZATION, bearer);
            }
        }
        let mut builder = Client::builder();
        if let Endpoint::Socket(path) = &endpoint {
            builder = builder.unix_socket(path.as_path());
        }
        let client = builder
            // The address names the server, whatever HTTP_PROXY says about other hosts.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(max_wait)
            .default_headers(headers)
            .build()
            .map_err(ApiError::Client)?;
        Ok(Self { client, endpoint, max_wait, changes: Cell::new(false) })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ApiError> {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer<T>, ApiError> {
        self.ask(Method::PUT, path, body).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer<T>, ApiError> {
        self.ask(Method::POST, path, body).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ApiError> {
        self.ask(Method::DELETE, path, None).await
    }

    /// The endpoint that requests go to.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long to wait for an answer.
    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait + LATER
    }

    /// The error for a server that has not answered within the timeout.
    pub(super) fn silent(&self) -> ApiError {
        ApiError::Silent {
            endpoint: self.endpoint.to_string(),
            max_wait: self.max_wait,
            changes: self.changes.get(),
        }
    }

    /// The error for a listener that is not the wanted server.
    pub(super) fn stranger(&self) -> ApiError {
        ApiError::Stranger { endpoint: self.endpoint.to_string() }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer<T>, ApiError> {
        self.changes.set(method != Method::GET);
        let (url, name) = self.endpoint.url(path);
        let mut request = self.client.request(method, url);
        if let Some(name) = name {
            request = request.header(HOST, name);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| self.failed(error))?;
        let success = response.status().is_success();
        let says_no = |name| response.headers().get(name).is_some_and(|value| value == NO);
        let (is_stored, is_recorded) = (!says_no(STORED_HEADER), !says_no(RECORDED_HEADER));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                return Err(ApiError::Endless { endpoint: self.endpoint.to_string() });
            }
        }
        let body = String::from_utf8(body).map_err(|_| self.stranger())?;
        if success {
            let value = serde_json::from_str(&body).map_err(|_| self.stranger())?;
            Ok(Answer { value, body, is_stored, is_recorded })
        } else {
            let failure: Failure = serde_json::from_str(&body).map_err(|_| self.stranger())?;
            Err(ApiError::Refused(failure.error))
        }
    }

    /// Classifies a failure: no answer, or bytes that are not HTTP.
    fn failed(&self, source: reqwest::Error) -> ApiError {
        match cause(&source) {
            Some((cause, refused)) => ApiError::Unreachable { cause, refused, source },
            None => self.stranger(),
        }
    }
}

impl<T> Answer<T> {
    /// The warning about a change, for standard error.
    pub(super) fn warning(&self) -> Option<&'static str> {
        if !self.is_stored {
            Some(
                "the limit is in effect but not stored yet; a restart may lose it (see `config` and the log)",
            )
        } else if !self.is_recorded {
            Some(
                "the limit is in effect and stored, but its record is not in the history file yet (see the log)",
            )
        } else {
            None
        }
    }

    /// The output: the body unchanged, or the result of `render`.
    pub(super) fn print(self, json: bool, render: impl FnOnce(T) -> String) -> String {
        if json { self.body + "\n" } else { render(self.value) }
    }
}

/// Why there is no answer, and whether the reason is a missing listener; `None` if there is an answer that is invalid.
fn cause(error: &reqwest::Error) -> Option<(String, bool)> {
    if error.is_timeout() {
        return Some(("timed out".to_owned(), false));
    }
    let mut cause = None;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            cause = Some((words(error), error.kind() == io::ErrorKind::ConnectionRefused));
        } else if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            cause = Some(("connection closed without an answer".to_owned(), false));
        }
        next = error.source();
    }
    cause
}

fn words(error: &io::Error) -> String {
    let text = error.to_string();
    // The name service has no kind of its own.
    match (text.split_once("failed to lookup address information: "), error.kind()) {
        (Some((_, why)), _) => why.to_lowercase(),
        (None, io::ErrorKind::NotFound) => "no such socket".to_owned(),
        (None, kind) => kind.to_string(),
    }
}
