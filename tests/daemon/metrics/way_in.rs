//! Access to the metrics, and their formats.

use super::scrape::{OPEN_METRICS, PROMETHEUS_ACCEPTS, Scrape, TEXT, ask};
use crate::harness::Setup;

#[test]
fn everybody_gets_the_format_that_they_know() {
    let server = Setup::new().start();
    let open_metrics = ask(&server, PROMETHEUS_ACCEPTS);
    let text = ask(&server, "*/*");
    assert_eq!(open_metrics.header("content-type"), Some(OPEN_METRICS));
    assert_eq!(text.header("content-type"), Some(TEXT));
    assert_eq!(open_metrics.header("vary"), Some("accept"));
    assert!(open_metrics.body.contains("\n# TYPE shibudb_connections_accepted counter\n"));
    assert!(text.body.contains("\n# TYPE shibudb_connections_accepted_total counter\n"));
    assert!(!text.body.contains("# UNIT") && !text.body.contains("# EOF"));
    assert_eq!(Scrape::read(&text.body).names(), Scrape::read(&open_metrics.body).names());
}

#[test]
fn the_gate_is_the_same_as_for_all() {
    let server = Setup::new().start();
    let reply = server.send_raw("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(reply.status, 421);
    assert_eq!(server.post("/metrics", "{}").status, 405);
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let word = "0123456789abcdef0123456789abcdef";
    std::fs::write(&token, word).unwrap();
    let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, only_owner).unwrap();
    let server = Setup::new().config(format!("[management]\ntoken_file = {token:?}\n")).start();
    assert_eq!(ask(&server, "*/*").status, 401);
    let with = |token: &str| {
        server.send_raw(format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        ))
    };
    assert_eq!(with("wrong").status, 401);
    let reply = with(word);
    assert_eq!(reply.status, 200);
    let scrape = Scrape::read(&reply.body);
    for reason in ["wrong_token", "no_token"] {
        let denied = format!("shibudb_management_denied_total{{reason=\"{reason}\"}}");
        assert_eq!(scrape.value(&denied), 1.0, "{reason}");
    }
}
