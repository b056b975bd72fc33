//! The live page: `GET /` and its files, all compiled in.
//!
//! The page holds no data, so it needs no token; it requests the data that it shows like any other client. A header
//! tells it that a token is required, since a try without one would be logged as an intrusion. Nothing on it comes from
//! anywhere else, and the browser enforces that by the policy sent with it: no other origin, no script or style in the
//! text of the page, no frame around it.

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::get;

use super::Management;

/// What the browser may do with the page. Trusted types: no text ever becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file: its path, its type, its text.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/page.js", SCRIPT, include_str!("page/page.js")),
    ("/page/api.js", SCRIPT, include_str!("page/api.js")),
    ("/page/plot.js", SCRIPT, include_str!("page/plot.js")),
    ("/page/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/page/words.js", SCRIPT, include_str!("page/words.js")),
    ("/page/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/page/uplot.js", SCRIPT, include_str!("page/uplot/uPlot.iife.min.js")),
    ("/page/uplot.css", CSS, include_str!("page/uplot/uPlot.min.css")),
];

/// Sent with every file. A browser opens half a dozen connections for them, and would keep those open.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CONNECTION, HeaderValue::from_static("close")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The page's own paths.
pub(super) fn routes() -> Router<Management> {
    FILES.into_iter().fold(Router::new(), |router, (path, media_type, text)| {
        let answer = async move |State(api): State<Management>| {
            let challenge = api.token.borrow().is_some().then_some([(WWW_AUTHENTICATE, "Bearer")]);
            ([(CONTENT_TYPE, media_type)], HEADERS, challenge, text)
        };
        router.route(path, get(answer))
    })
}

/// Whether a path is one of the page's.
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|(known, ..)| *known == path)
}
