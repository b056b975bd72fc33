//! `GET /metrics`, for Prometheus and compatible programs.
//!
//! In OpenMetrics for clients that ask for it, as Prometheus does, and in the older text format for all others: for
//! curl, and for `promtool check metrics`, which knows no other.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text;

use super::Management;
use super::failure::ApiError;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Prometheus scrapes: connections, limit, requests, store, process.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "In OpenMetrics if `Accept` names it, else in Prometheus' text format.",
        content((String = "text/plain"), (String = "application/openmetrics-text")),
        headers(("Vary" = String, description = "`Accept`"))))
)]
pub(super) async fn read(State(api): State<Management>, headers: HeaderMap) -> Result<Response, ApiError> {
    // Counting descriptors may take long.
    let encoded = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        text::encode(&mut text, &api.metrics).map(|()| text)
    });
    let Ok(Ok(text)) = encoded.await else {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the metrics cannot be read now"));
    };
    let (media_type, text) =
        if wants_open_metrics(&headers) { (OPEN_METRICS, text) } else { (TEXT, as_plain_text(&text)) };
    Ok(([(header::CONTENT_TYPE, media_type), (header::VARY, "accept")], text).into_response())
}

/// Whether the client accepts OpenMetrics. A client that names it prefers it: only such clients know its name.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        let refused = |part: &str| {
            part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|quality| quality <= 0.0))
        };
        named && !parts.any(refused)
    })
}

/// The same in the older format: it has neither units nor an end marker, names a counter after its sample, and an info
/// is a gauge.
fn as_plain_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                put(&mut text, format_args!("# HELP {name}{suffix} {help}"));
            }
            put(&mut text, format_args!("# TYPE {name}{suffix} {kind}"));
        } else if !line.starts_with('#') {
            put(&mut text, format_args!("{line}"));
        }
    }
    text
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let wants = |accept: &str| {
            wants_open_metrics(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]))
        };
        assert!(!wants_open_metrics(&HeaderMap::new()));
        for accept in [
            "application/openmetrics-text",
            "text/html, Application/OpenMetrics-Text; version=1.0.0",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        ] {
            assert!(wants(accept), "{accept}");
        }
        for accept in ["*/*", "text/plain", "", "application/openmetrics-text;q=0", "application/json"] {
            assert!(!wants(accept), "{accept}");
        }
    }

    #[test]
    fn the_older_format_has_other_names_for_the_same() {
        let open_metrics = "# HELP a_bytes A.\n# TYPE a_bytes gauge\n# UNIT a_bytes bytes\na_bytes 1\n\
                            # HELP b B, B.\n# TYPE b counter\nb_total{x=\"# EOF\"} 2\n\
                            # HELP c C.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(
            as_plain_text(open_metrics),
            "# HELP a_bytes A.\n# TYPE a_bytes gauge\na_bytes 1\n\
             # HELP b_total B, B.\n# TYPE b_total counter\nb_total{x=\"# EOF\"} 2\n\
             # HELP c_info C.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n"
        );
    }
}
