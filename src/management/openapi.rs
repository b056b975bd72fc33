//! `GET /openapi.json`: the API described by itself.
//!
//! Paths, bodies and answers come from the handlers and their types, and the router is built from the same list, so
//! that no endpoint can be forgotten. This module adds the answers of the gate to all of them alike.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, HeaderBuilder, OpenApi as Description, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{IntoParams, Modify, OpenApi};

use super::wire::{ConfigReport, Failure, MEDIA_TYPE, Missed, Revision, Sample};

/// What `shibudb manager` and others may be generated from, as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Document(Bytes);

/// What is there before the first endpoint: the service, the shape of errors, the token.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "shibudb management",
        description = "The connection limit of a running server, and every way to move it.",
    ),
    components(schemas(Failure, ConfigReport, Sample, Revision, Missed)),
    // Either: none where none is configured, and over the Unix socket.
    security((), ("token" = [])),
    modifiers(&Token)
)]
struct Frame;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Description) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "The token of `management.token_file`, where one is configured. /health and the Unix socket need none.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme.build()));
    }
}

/// The header that makes a change conditional, for the document alone: what it holds is taken apart in
/// [`super::revision`].
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its shape is of interest")]
pub(super) struct Conditional {
    /// Do it only if the limit is in the state that this entity tag names, as `GET /limit` has given it out.
    #[param(
        rename = "If-Match",
        required = false,
        pattern = r#"^(\*|"([0-9a-f]{16}-)?(0|[1-9][0-9]{0,18})")$"#
    )]
    if_match: String,
}

/// The description to which the router's endpoints are added.
pub(super) fn frame() -> Description {
    Frame::openapi()
}

impl Document {
    /// Completes the descriptions of the endpoints.
    pub(super) fn complete(mut description: Description) -> Self {
        for (path, item) in &mut description.paths.paths {
            for (changes, operation) in operations(item) {
                let has_body = operation.request_body.is_some();
                if let Some(RefOr::T(body)) = &mut operation.request_body
                    && path != "/limit"
                {
                    // Without a body the step applies.
                    body.required = Some(Required::False);
                }
                let open = path == super::gate::OPEN_PATH;
                for (status, why) in refusals(open, changes, has_body) {
                    add_refusal(operation, status, why);
                }
            }
        }
        // Names and numbers always serialize.
        let text = serde_json::to_string(&description).unwrap_or_default();
        // The comments of the source are the descriptions; their links have no target here.
        Self(text.replace("[`", "`").replace("`]", "`").into())
    }
}

/// The operations of a path, each with whether it can change something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    [(false, get), (true, put), (true, post), (true, delete)]
        .into_iter()
        .filter_map(|(changes, operation)| operation.as_mut().map(|operation| (changes, operation)))
}

/// Answers that a request may get before it reaches a handler.
fn refusals(open: bool, changes: bool, has_body: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        (true, "400", "The request is malformed."),
        (!open, "401", "The token is missing or wrong."),
        (true, "403", "The request comes from a web page of another origin."),
        (true, "408", "The body did not arrive in time."),
        (true, "413", "The body is longer than 64 KiB."),
        (true, "414", "The address of the request is too long."),
        (changes || has_body, "415", "The body is not declared as application/json."),
        (true, "421", "The Host is not a name of this server."),
        (true, "431", "The head of the request is longer than 32 KiB, or has more than 100 fields."),
        (true, "503", "The server is shutting down, or too busy to answer."),
    ]
    .into_iter()
    .filter_map(|(may_be, status, why)| may_be.then_some((status, why)))
}

/// A status that the handler itself documents stays.
fn add_refusal(operation: &mut Operation, status: &str, why: &str) {
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
        let failure = Content::new(Some(Ref::from_schema_name("Failure")));
        let mut response = ResponseBuilder::new().description(why).content(MEDIA_TYPE, failure);
        if status == "401" {
            let challenge = HeaderBuilder::new().description(Some("`Bearer`")).build();
            response = response.header("WWW-Authenticate", challenge);
        }
        RefOr::T(response.build())
    });
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(super) async fn read(Extension(Document(text)): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text)
}
