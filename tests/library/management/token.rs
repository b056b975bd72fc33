//! With a token configured, requests without it get only the health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shibudb::management::wire::Failure;
use shibudb::management::{ConnectionSlots, Denied};
use tokio::task::JoinSet;

use super::command_line::manager_with;
use super::server::{Reply, Server};

const TOKEN: &str = "c0rrect-horse/battery+staple==";

fn expect_unauthorized(reply: &Reply, error: &str) {
    assert_eq!((reply.status, reply.error().as_str()), (401, error));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
}

const MISSING: &str = "missing token: send the header `Authorization: Bearer TOKEN`, or use --token-file FILE with \
    shibudb manager";
const WRONG: &str = "wrong token: it is not the one in the server's token file";

#[tokio::test]
async fn every_endpoint_but_health_needs_it() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let right = format!("Authorization: Bearer {TOKEN}");
    for (method, path) in [
        ("GET", "/stats"),
        ("HEAD", "/stats"),
        ("OPTIONS", "/stats"),
        ("GET", "/limit"),
        ("PUT", "/limit"),
        ("POST", "/limit/increase"),
        ("POST", "/limit/decrease"),
        ("POST", "/limit/reset"),
        ("GET", "/history"),
        ("GET", "/config"),
        ("POST", "/reload"),
        ("GET", "/openapi.json"),
        ("GET", "/no/such/path"),
        ("GET", "/health/"),
        ("DELETE", "/limit"),
    ] {
        let reply = server.ask(method, path, &[], "").await;
        if method == "HEAD" {
            assert_eq!(reply.status, 401);
        } else {
            expect_unauthorized(&reply, MISSING);
        }
        // An admitted reload would wait for a daemon, which does not exist here.
        if path != "/reload" {
            assert_ne!(server.ask(method, path, &[&right], "").await.status, 401, "{method} {path}");
        }
    }
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(server.limiter.snapshot().limit, 1000);
}

#[tokio::test]
async fn only_the_token_itself_will_do() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    for (header, error) in [
        (format!("Authorization: Bearer {TOKEN}x"), WRONG),
        (format!("Authorization: Bearer {}", &TOKEN[1..]), WRONG),
        (format!("Authorization: Bearer {}", TOKEN.to_uppercase()), WRONG),
        ("Authorization: Bearer ".into(), MISSING),
        ("Authorization: Bearer \u{ff}".into(), WRONG),
        (format!("Authorization: Basic {TOKEN}"), MISSING),
        (format!("Authorization: {TOKEN}"), MISSING),
        (format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}"), MISSING),
        (format!("X-Authorization: Bearer {TOKEN}"), MISSING),
        (format!("Cookie: token={TOKEN}"), MISSING),
    ] {
        expect_unauthorized(&server.ask("PUT", "/limit", &[&header], "").await, error);
    }
    for header in ["Authorization: Bearer", "authorization: bearer", "AUTHORIZATION: BEARER"] {
        let reply = server.ask("GET", "/stats", &[&format!("{header} {TOKEN}")], "").await;
        assert_eq!(reply.status, 200, "{header}");
    }
    let reply = server.ask("GET", &format!("/stats?token={TOKEN}"), &[], "").await;
    expect_unauthorized(&reply, MISSING);
}

#[tokio::test]
async fn a_refused_request_is_no_attempt() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let before = server.control.history().latest(10).len();
    assert_eq!(server.json("PUT", "/limit", r#"{"limit":5}"#).await.status, 401);
    assert_eq!(server.ask("POST", "/limit/increase", &[], "").await.status, 401);
    assert_eq!(server.control.history().latest(10).len(), before);
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one_on_open_connections_too() {
    let server = Server::start().await;
    server.expect_token("first");
    let (first, second) = ("Authorization: Bearer first", "Authorization: Bearer second");
    assert_eq!(server.ask("GET", "/stats", &[first], "").await.status, 200);
    server.expect_token("second");
    assert_eq!(server.ask("GET", "/stats", &[first], "").await.status, 401);
    assert_eq!(server.ask("GET", "/stats", &[second], "").await.status, 200);
}

#[tokio::test]
async fn a_web_page_with_the_token_is_a_web_page_all_the_same() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let right = format!("Authorization: Bearer {TOKEN}");
    let reply = server.ask("POST", "/limit/reset", &[&right, "Origin: http://evil.example"], "").await;
    assert_eq!(reply.status, 403);
    let reply = server.ask_as("GET", "/stats", &["Host: evil.example", &right], "").await;
    assert_eq!(reply.status, 421);
}

#[tokio::test]
async fn the_command_line_sends_what_its_file_holds() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let port = server.address.port();
    let ask = |options: String| async move {
        manager_with(&format!("9090 limit 50 --management-port={port}{options}")).await
    };
    assert_eq!(ask(String::new()).await, Err((1, MISSING.into())));
    let file = server.token_file("another");
    assert_eq!(ask(format!(" --token-file {}", file.display())).await, Err((1, WRONG.into())));
    let file = server.token_file(TOKEN);
    let done = ask(format!(" --token-file {}", file.display())).await;
    assert_eq!(done.as_deref(), Ok("Connection limit updated to 50\n"));
    let error = "token file /no/such cannot be read: No such file or directory (os error 2)";
    assert_eq!(ask(" --token-file /no/such".into()).await, Err((1, error.into())));
}

#[tokio::test]
async fn the_token_is_in_no_answer() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let reply = server.ask("GET", "/config", &[&format!("Authorization: Bearer {TOKEN}")], "").await;
    assert!(!reply.body.contains(TOKEN));
    let reply = server.ask("GET", "/stats", &[&format!("Authorization: Bearer {TOKEN}x")], "").await;
    let Failure { error, .. } = serde_json::from_str(&reply.body).unwrap();
    assert!(!error.contains(TOKEN));
}

/// How long the answer to a wrong token is held back.
const DELAY: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_guess_is_answered_late_and_ends_its_connection() {
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let guess = "GET /stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guess\r\n\r\n";
    let start = Instant::now();
    // The client reads until the server closes, without having requested a close.
    let reply = server.send(guess.as_bytes()).await;
    expect_unauthorized(&reply, WRONG);
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_forgot_the_token_is_told_at_once() {
    const REQUESTS: u32 = 100;
    let server = Server::start().await;
    server.expect_token(TOKEN);
    let start = Instant::now();
    for _ in 0..REQUESTS {
        expect_unauthorized(&server.get("/stats").await, MISSING);
        assert_eq!(server.get("/health").await.status, 200);
    }
    assert!(start.elapsed() < DELAY * REQUESTS, "each was held back: {:?}", start.elapsed());
    assert_eq!(server.denied(), Denied { wrong_token: 0, no_token: REQUESTS.into() });
}

#[tokio::test]
async fn a_flood_of_guesses_does_not_keep_the_right_token_out() {
    const GUESSERS: usize = 32;
    const RIGHT: u32 = 10;
    let server = Arc::new(Server::start_with_slots(1000, ConnectionSlots { tcp: 8, unix: 1 }).await);
    server.expect_token(TOKEN);
    let over = Arc::new(AtomicBool::new(false));
    let mut guessers = JoinSet::new();
    for _ in 0..GUESSERS {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        guessers.spawn(async move {
            let mut guesses = 0;
            while !over.load(Ordering::Relaxed) {
                let reply = server.ask("GET", "/stats", &["Authorization: Bearer guess"], "").await;
                assert_eq!(reply.status, 401);
                guesses += 1;
            }
            guesses
        });
    }
    while server.denied().wrong_token < GUESSERS as u64 {
        tokio::task::yield_now().await;
    }
    let right = format!("Authorization: Bearer {TOKEN}");
    let start = Instant::now();
    for _ in 0..RIGHT {
        assert_eq!(server.ask("GET", "/stats", &[&right], "").await.status, 200);
        assert_eq!(server.get("/health").await.status, 200);
    }
    let took = start.elapsed();
    over.store(true, Ordering::Relaxed);
    let guesses: u64 = guessers.join_all().await.into_iter().sum();
    // If guesses could hold all connections, the 24 guessers queued before each request would cost it three
    // delays.
    assert!(took < DELAY * 3 * 2 * RIGHT, "{took:?} for {RIGHT} of each beside {guesses} guesses");
    assert_eq!(server.denied(), Denied { wrong_token: guesses, no_token: 0 });
    println!("{took:?} for {RIGHT} of each beside {guesses} guesses");
}
