//! Every way to get a body wrong, with its exact answer.

use super::server::Server;

#[tokio::test]
async fn a_wrong_limit_is_answered_with_what_was_expected() {
    let server = Server::start().await;
    let range = |got: &str| format!("limit must be a whole number from 1 to 4294967296, got {got}");
    let missing = r#"`limit` is missing: expected a body such as {"limit":2000}"#;
    let object = r#"the body must be a JSON object such as {"limit":2000}"#;
    let long = "x".repeat(100);
    for (body, error) in [
        (r#"{"limit":1.5}"#, range("1.5")),
        (r#"{"limit":2000.0}"#, range("2000.0")),
        (r#"{"limit":2e3}"#, range("2e3")),
        (r#"{"limit":"2000"}"#, range("\"2000\"")),
        (r#"{"limit":null}"#, range("null")),
        (r#"{"limit":true}"#, range("true")),
        (r#"{"limit":[2000]}"#, range("an array")),
        (r#"{"limit":{"limit":2000}}"#, range("an object")),
        (r#"{"limit":4294967297}"#, range("4294967297")),
        (r#"{"limit":18446744073709551616}"#, range("18446744073709551616")),
        (r#"{"limit":1e999}"#, range("1e999")),
        (&format!(r#"{{"limit":"{long}"}}"#), range(&format!("\"{}…", "x".repeat(39)))),
        ("", missing.into()),
        ("{}", missing.into()),
        (r#"{"limt":2000}"#, "unknown field `limt`, expected `limit`".into()),
        (r#"{"limit":2000,"force":true}"#, "unknown field `force`, expected `limit`".into()),
        (r#"{"limit":2000,"limit":3000}"#, "`limit` is given more than once".into()),
        ("[2000]", object.into()),
        ("2000", object.into()),
        ("null", object.into()),
        ("\"limit\"", object.into()),
        ("limit=2000", "the body is not valid JSON: expected value at line 1 column 1".into()),
        (
            r#"{"limit":2000"#,
            "the body is not valid JSON: EOF while parsing an object at line 1 column 13".into(),
        ),
        (r#"{"limit":2000}x"#, "the body is not valid JSON: trailing characters at line 1 column 15".into()),
        (r#"{"limit":}"#, "the body is not valid JSON: expected value at line 1 column 10".into()),
        (r#"{"limit":007}"#, "the body is not valid JSON: invalid number at line 1 column 11".into()),
        (r#"{"limit":+7}"#, "the body is not valid JSON: expected value at line 1 column 10".into()),
        ("  ", "the body is not valid JSON: EOF while parsing a value at line 1 column 2".into()),
    ] {
        let reply = server.json("PUT", "/limit", body).await;
        assert_eq!((reply.status, reply.error()), (400, error), "{body}");
    }
    assert_eq!(server.limiter.snapshot().limit, 1000);
    assert_eq!(server.control.history().latest(10).len(), 1, "what is no number is no attempt");
}

#[tokio::test]
async fn a_wrong_amount_is_answered_with_what_was_expected() {
    let server = Server::start().await;
    let positive = |got: &str| format!("amount must be a positive whole number, got {got}");
    for path in ["/limit/increase", "/limit/decrease"] {
        for (body, error) in [
            (r#"{"amount":0}"#, positive("0")),
            (r#"{"amount":-0}"#, positive("-0")),
            (r#"{"amount":-5}"#, positive("-5")),
            (r#"{"amount":-99999999999999999999}"#, positive("-99999999999999999999")),
            (r#"{"amount":0.5}"#, positive("0.5")),
            (r#"{"amount":"5"}"#, positive("\"5\"")),
            (r#"{"amount":null}"#, positive("null")),
            (
                r#"{"amount":4294967297}"#,
                "amount must be a positive whole number up to 4294967296, got 4294967297".into(),
            ),
            (
                r#"{"amount":99999999999999999999}"#,
                "amount must be a positive whole number up to 4294967296, got 99999999999999999999".into(),
            ),
            ("{}", r#"`amount` is missing: expected a body such as {"amount":100}"#.into()),
            (r#"{"amuont":5}"#, "unknown field `amuont`, expected `amount`".into()),
            (r#"{"amount":5,"amount":5}"#, "`amount` is given more than once".into()),
            ("[]", r#"the body must be a JSON object such as {"amount":100}"#.into()),
        ] {
            let reply = server.json("POST", path, body).await;
            assert_eq!((reply.status, reply.error()), (400, error), "{body}");
        }
    }
    assert_eq!(server.limiter.snapshot().limit, 1000);
}

#[tokio::test]
async fn what_takes_no_body_takes_an_empty_object_at_most() {
    let server = Server::start().await;
    assert_eq!(server.json("POST", "/limit/reset", "{}").await.status, 200);
    let reply = server.json("POST", "/limit/reset", r#"{"limit":5}"#).await;
    assert_eq!((reply.status, reply.error().as_str()), (400, "unknown field `limit`, expected none"));
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    let server = Server::start().await;
    let body = r#"{"limit":2000}"#;
    for header in [
        "X-None: at all",
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: application/jsonp",
        "Content-Type: application/json\r\nContent-Type: text/plain",
    ] {
        let reply = server.ask("PUT", "/limit", &[header], body).await;
        let error = "a body must have the header Content-Type: application/json";
        assert_eq!((reply.status, reply.error().as_str()), (415, error), "{header}");
    }
    for header in ["Content-Type: application/json; charset=utf-8", "content-type: Application/JSON"] {
        assert_eq!(server.ask("PUT", "/limit", &[header], body).await.status, 200, "{header}");
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_and_its_sender_learns_of_it() {
    let server = Server::start().await;
    for length in [65_537, 1_000_000] {
        let reply = server.json("PUT", "/limit", &" ".repeat(length)).await;
        assert_eq!((reply.status, reply.error().as_str()), (413, "the body is longer than 64 KiB"));
    }
    let fits = format!("{}{}", " ".repeat(65_536 - 14), r#"{"limit":2000}"#);
    assert_eq!(server.json("PUT", "/limit", &fits).await.status, 200);

    let waiting =
        "PUT /limit HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    let reply = server.send(waiting.as_bytes()).await;
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
}

#[tokio::test]
async fn a_body_in_chunks_is_a_body() {
    let server = Server::start().await;
    let request = "PUT /limit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n7\r\n{\"limit\r\n7\r\n\":2000}\r\n0\r\n\r\n";
    assert_eq!(server.send(request.as_bytes()).await.status, 200);
    assert_eq!(server.limiter.snapshot().limit, 2000);
}
