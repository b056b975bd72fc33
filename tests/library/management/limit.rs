//! Reading and moving the limit.

use futures_util::future::join_all;
use shibudb::limiter::Snapshot;

use super::server::Server;

#[tokio::test]
async fn the_documented_endpoints_answer_the_documented_bytes() {
    let server = Server::start().await;
    let _held = server.occupy(45);
    for (method, path, body, answer) in [
        ("GET", "/health", "", r#"{"status":"healthy","service":"shibudb"}"#),
        (
            "GET",
            "/stats",
            "",
            r#"{"active_connections":45,"max_connections":1000,"usage_percentage":4.5,"available_slots":955}"#,
        ),
        ("GET", "/limit", "", r#"{"current_limit":1000,"active_connections":45}"#),
        (
            "PUT",
            "/limit",
            r#"{"limit":2000}"#,
            r#"{"status":"success","new_limit":2000,"message":"Connection limit updated to 2000"}"#,
        ),
        (
            "POST",
            "/limit/reset",
            "",
            r#"{"status":"success","new_limit":1000,"message":"Connection limit updated to 1000"}"#,
        ),
        (
            "POST",
            "/limit/increase",
            r#"{"amount": 500}"#,
            r#"{"status":"success","old_limit":1000,"new_limit":1500,"increase_amount":500,"message":"Connection limit increased from 1000 to 1500"}"#,
        ),
        (
            "POST",
            "/limit/decrease",
            r#"{"amount": 200}"#,
            r#"{"status":"success","old_limit":1500,"new_limit":1300,"decrease_amount":200,"message":"Connection limit decreased from 1500 to 1300"}"#,
        ),
    ] {
        let reply = server.json(method, path, body).await;
        assert_eq!(reply.pair(), (200, answer), "{method} {path}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn an_empty_body_means_the_configured_step() {
    let server = Server::start().await;
    for (path, headers, limit) in [
        ("/limit/increase", vec![], 1100),
        ("/limit/increase", vec!["Content-Type: application/json"], 1200),
        ("/limit/decrease", vec!["Content-Length: 0"], 1100),
        ("/limit/decrease", vec!["Content-Type: text/plain"], 1000),
    ] {
        assert_eq!(server.ask("POST", path, &headers, "").await.status, 200);
        assert_eq!(server.limiter.snapshot().limit, limit);
    }
    assert_eq!(
        server.ask("POST", "/limit/increase", &[], "").await.body,
        r#"{"status":"success","old_limit":1000,"new_limit":1100,"increase_amount":100,"message":"Connection limit increased from 1000 to 1100"}"#
    );
}

#[tokio::test]
async fn a_refused_change_changes_nothing_and_says_why() {
    let server = Server::start().await;
    let _held = server.occupy(750);
    for (method, path, body, status, error) in [
        ("PUT", "/limit", r#"{"limit":500}"#, 409, "cannot set limit to 500 when 750 connections are active"),
        (
            "POST",
            "/limit/decrease",
            r#"{"amount":300}"#,
            409,
            "cannot set limit to 700 when 750 connections are active",
        ),
        ("PUT", "/limit", r#"{"limit":0}"#, 400, "connection limit must be positive"),
        ("PUT", "/limit", r#"{"limit":-5}"#, 400, "connection limit must be positive"),
        ("PUT", "/limit", r#"{"limit":-99999999999999999999}"#, 400, "connection limit must be positive"),
        ("POST", "/limit/decrease", r#"{"amount":1000}"#, 400, "connection limit must be positive"),
        ("POST", "/limit/decrease", r#"{"amount":4294967296}"#, 400, "connection limit must be positive"),
        (
            "PUT",
            "/limit",
            r#"{"limit":50000}"#,
            409,
            "cannot set limit to 50000: this process can hold at most 19900 connections (open-file limit 20000)",
        ),
        (
            "POST",
            "/limit/increase",
            r#"{"amount":4294967296}"#,
            409,
            "cannot set limit to 4294968296: this process can hold at most 19900 connections (open-file limit 20000)",
        ),
    ] {
        let reply = server.json(method, path, body).await;
        assert_eq!((reply.status, reply.error().as_str()), (status, error), "{body}");
        assert_eq!(reply.header("etag"), Some(&*server.etag(1)));
        assert_eq!(server.limiter.snapshot(), Snapshot { limit: 1000, active: 750 });
    }
}

#[tokio::test]
async fn a_full_server_can_still_be_asked_and_moved() {
    let server = Server::start_with(3).await;
    let _held = server.occupy(3);
    assert_eq!(
        server.get("/stats").await.body,
        r#"{"active_connections":3,"max_connections":3,"usage_percentage":100.0,"available_slots":0}"#
    );
    assert_eq!(server.json("PUT", "/limit", r#"{"limit":4}"#).await.status, 200);
    assert!(server.limiter.try_acquire().is_ok());
}

#[tokio::test]
async fn ten_increases_at_once_add_ten() {
    let server = Server::start().await;
    let replies = join_all((0..10).map(|_| server.json("POST", "/limit/increase", r#"{"amount":1}"#))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(server.limiter.snapshot().limit, 1010);
}

#[tokio::test]
async fn the_revision_travels_as_an_etag() {
    let server = Server::start().await;
    assert_eq!(server.get("/limit").await.header("etag"), Some(&*server.etag(1)));
    for (path, revision) in [("/limit/increase", 2), ("/limit/decrease", 3), ("/limit/reset", 4)] {
        assert_eq!(server.ask("POST", path, &[], "").await.header("etag"), Some(&*server.etag(revision)));
    }
    let reply = server.json("PUT", "/limit", r#"{"limit":2000}"#).await;
    assert_eq!(reply.header("etag"), Some(&*server.etag(5)));
    assert_eq!(server.get("/limit").await.header("etag"), Some(&*server.etag(5)));
}

#[tokio::test]
async fn if_match_makes_a_change_conditional() {
    let server = Server::start().await;
    let etag = |revision| server.etag(revision);
    // A bare revision, which may come from another process, matches nothing.
    let bare = "\"2\"".to_owned();
    for (tags, status) in [
        (etag(2), 412),
        (etag(1), 200),
        (etag(1), 412),
        (bare, 412),
        (format!("\"7\", {}", etag(2)), 200),
        ("*".to_owned(), 200),
    ] {
        let reply = server.ask("POST", "/limit/increase", &[&format!("If-Match: {tags}")], "").await;
        assert_eq!(reply.status, status, "{tags}");
    }
    assert_eq!(server.limiter.snapshot().limit, 1300);

    let reply = server.ask("POST", "/limit/reset", &["If-Match: \"7\""], "").await;
    let now = etag(4);
    let words = format!("the limit has changed meanwhile: its revision is {}, not 7", now.trim_matches('"'));
    assert_eq!(reply.error(), words);
    assert_eq!((reply.status, reply.header("etag")), (412, Some(&*now)));

    for tags in ["2", "W/\"2\"", "\"x\"", "*, \"2\""] {
        let reply = server.ask("POST", "/limit/increase", &[&format!("If-Match: {tags}")], "").await;
        assert_eq!(reply.status, 400, "{tags}");
        assert!(reply.error().starts_with("If-Match must be * or entity tags of this server, such as "));
    }
}

#[tokio::test]
async fn an_answer_says_in_its_head_that_the_limit_is_not_stored() {
    let server = Server::start().await;
    let reply = server.json("PUT", "/limit", r#"{"limit":2000}"#).await;
    assert_eq!((reply.header("shibudb-stored"), reply.header("shibudb-recorded")), (None, None));
    // The file to be written is replaced by one that cannot be written.
    let spare = server.data_dir().join(".limit-override.spare");
    std::fs::remove_file(&spare).unwrap();
    std::fs::create_dir(&spare).unwrap();
    for (method, path, body) in [
        ("PUT", "/limit", r#"{"limit":2000}"#),
        ("PUT", "/limit", r#"{"limit":3000}"#),
        ("POST", "/limit/increase", ""),
        ("POST", "/limit/decrease", ""),
    ] {
        let reply = server.json(method, path, body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.header("shibudb-stored"), Some("false"), "{path}");
    }
    assert_eq!(server.limiter.snapshot().limit, 3000);
    let config: serde_json::Value = serde_json::from_str(&server.get("/config").await.body).unwrap();
    assert!(config["limit"]["not_stored"].as_str().unwrap().contains("directory"), "{config}");
    std::fs::remove_dir(&spare).unwrap();
    let reply = server.json("PUT", "/limit", r#"{"limit":3000}"#).await;
    assert_eq!((reply.status, reply.header("shibudb-stored")), (200, None));
}
