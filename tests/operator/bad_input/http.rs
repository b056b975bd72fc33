//! The management API of a running server. The API's own tests cover the details of bodies.

use crate::harness::{Server, Setup};

/// The answer of a refusal, byte for byte.
fn failed(error: &str) -> String {
    format!("{{\"error\":{error:?},\"status\":\"failed\"}}")
}

fn history(server: &Server) -> usize {
    server.get("/history?limit=1000").json()["changes"].as_array().unwrap().len()
}

#[test]
fn a_wrong_number_is_refused_and_is_no_attempt() {
    let server = Setup::new().limit(100).start();
    let limit = |got: &str| format!("limit must be a whole number from 1 to 4294967296, got {got}");
    let amount = |got: &str| format!("amount must be a positive whole number, got {got}");
    let (before, revision) = (history(&server), server.get("/limit").header("etag").map(str::to_owned));
    for (body, error) in [
        (r#"{"limit":1.5}"#, limit("1.5")),
        (r#"{"limit":"200"}"#, limit("\"200\"")),
        (r#"{"limit":4294967297}"#, limit("4294967297")),
        (r#"{"limit":1e3}"#, limit("1e3")),
        ("", r#"`limit` is missing: expected a body such as {"limit":2000}"#.into()),
        ("{\"limit\":", "the body is not valid JSON: EOF while parsing a value at line 1 column 9".into()),
    ] {
        let reply = server.put("/limit", body);
        assert_eq!((reply.status, reply.body), (400, failed(&error)), "{body}");
    }
    for path in ["/limit/increase", "/limit/decrease"] {
        for (body, error) in [
            (r#"{"amount":0}"#, amount("0")),
            (r#"{"amount":-7}"#, amount("-7")),
            (r#"{"amount":0.5}"#, amount("0.5")),
            (r#"{"amount":"7"}"#, amount("\"7\"")),
            (
                r#"{"amount":99999999999999999999999}"#,
                "amount must be a positive whole number up to 4294967296, got 99999999999999999999999".into(),
            ),
        ] {
            let reply = server.post(path, body);
            assert_eq!((reply.status, reply.body), (400, failed(&error)), "{path} {body}");
        }
    }
    assert_eq!((server.limit(), history(&server)), (100, before));
    assert_eq!(server.get("/limit").header("etag"), revision.as_deref());
}

#[test]
fn a_limit_that_cannot_be_is_refused_recorded_and_logged() {
    let server = Setup::new().limit(100).start();
    let inside = [server.admin(), server.admin()];
    let before = history(&server);
    for (body, status, error) in [
        (r#"{"limit":0}"#, 400, "connection limit must be positive"),
        (r#"{"limit":-1}"#, 400, "connection limit must be positive"),
        (r#"{"limit":-99999999999999999999999}"#, 400, "connection limit must be positive"),
        (r#"{"limit":1}"#, 409, "cannot set limit to 1 when 2 connections are active"),
    ] {
        let reply = server.put("/limit", body);
        assert_eq!((reply.status, reply.body), (status, failed(error)), "{body}");
        let line = server.wait_for_log(&format!(" through http: {error}"));
        assert!(
            line.contains("connection limit not changed from 100 to ") && line.contains(" by 127.0.0.1:"),
            "{line}"
        );
    }
    let reply = server.put("/limit", r#"{"limit":4294967296}"#);
    assert_eq!(reply.status, 409);
    let error = reply.error();
    assert!(error.starts_with("cannot set limit to 4294967296: this process can hold at most "), "{error}");
    server.wait_for_log(&error);
    assert_eq!((server.limit(), history(&server)), (100, before + 5));
    drop(inside);
}

#[test]
fn an_unknown_path_and_a_wrong_method() {
    let server = Setup::new().start();
    let reply = server.get("/admin");
    assert_eq!((reply.status, reply.body), (404, failed("there is no /admin")));
    let reply = server.post("/limit", r#"{"limit":5}"#);
    assert_eq!(reply.header("allow"), Some("GET,HEAD,PUT"));
    assert_eq!((reply.status, reply.body), (405, failed("/limit does not answer POST")));
    assert_eq!(server.limit(), 1000);
}

#[test]
fn what_is_not_http_hurts_nobody() {
    let server = Setup::new().start();
    for garbage in ["\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "{\"limit\":5}\n\r\n\r\n"] {
        assert_eq!(server.send_raw(garbage).status, 400, "{garbage:?}");
    }
    let reply = server.send_raw("GET /limit HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(reply.status, 421, "{}", reply.body);
    assert_eq!(server.limit(), 1000);
}
