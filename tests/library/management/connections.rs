//! The life of a connection to the API.

use std::sync::Arc;
use std::time::Duration;

use shibudb::management::wire::{Health, LoadedConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Reply, Server};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One reply of a connection that stays open.
async fn reply(stream: &mut tokio::net::TcpStream) -> Reply {
    let mut text = Vec::new();
    while !text.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0);
    }
    Reply::parse(&String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(HEALTH).await.unwrap();
        serde_json::from_str::<Health>(&reply(&mut stream).await.body).unwrap();
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_still_hears_the_answer() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /limit/increase HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(Reply::parse(&text).status, 200);
}

#[tokio::test]
async fn garbage_is_turned_away_and_hurts_nobody() {
    let server = Server::start().await;
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"PING\r\n\r\n", b"GET\r\n\r\n"]
    {
        let reply = server.send(garbage).await;
        assert_eq!((reply.status, reply.error().as_str()), (400, "not an HTTP/1.1 request"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("connection"), Some("close"));
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_told_so_whatever_follows() {
    let server = Server::start().await;
    let mut head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    head.extend(std::iter::repeat_n(b'x', 1 << 20));
    head.extend(b"\r\n\r\n");
    let reply = server.send(&head).await;
    assert_eq!((reply.status, reply.error().as_str()), (431, "the request header is too long"));

    let path = "x".repeat(70_000);
    let reply = server.send(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    reply.error();
    assert!(matches!(reply.status, 414 | 431), "{}", reply.status);
}

#[tokio::test]
async fn the_longest_head_is_what_is_stated_however_it_arrives() {
    let server = Server::start().await;
    for (fields, status) in [(2, 200), (3, 431), (4, 431), (7, 431)] {
        let mut head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".to_vec();
        for field in 0..fields {
            head.extend(format!("X-{field}: {}\r\n", "x".repeat(12_000)).into_bytes());
        }
        head.extend(b"\r\n");
        for chunk in [head.len(), 7_000] {
            let mut stream = server.connect().await;
            for part in head.chunks(chunk) {
                // A client that is refused early may find the connection closed.
                if stream.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{} bytes: {answer}", head.len());
        }
    }
}

#[tokio::test]
async fn garbage_behind_a_request_takes_nothing_from_its_answer() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    stream.write_all(&[HEALTH, b"GET\r\n\r\n"].concat()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("HTTP/1.1 400 "), "{text}");
    assert!(text.ends_with(r#"{"error":"not an HTTP/1.1 request","status":"failed"}"#), "{text}");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let server = Server::start().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = server.connect().await;
        stream.write_all(HEALTH).await.unwrap();
        reply(&mut stream).await;
        open.push(stream);
    }
    let mut waiting = server.connect().await;
    waiting.write_all(HEALTH).await.unwrap();
    open.pop();
    assert_eq!(reply(&mut waiting).await.status, 200);
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_end() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    let mut asking = server.connect().await;
    asking.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let request = server.reloads.recv().await.unwrap();
    server.shutdown.cancel();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed");
    let report = shibudb::management::wire::ReloadReport::new(None, vec![], vec![], vec![]);
    request.reply.send(Ok(report)).unwrap();
    assert_eq!(reply(&mut asking).await.status, 200);
    server.task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let server = Server::start().await;
    for begun in [&b""[..], b"GET /health HTTP/1.1\r\nHo"] {
        let mut stream = server.connect().await;
        stream.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_does_not_hold_its_place() {
    let server = Server::start().await;
    let settings = LoadedConfig { file: Some("x".repeat(16 * 1024 * 1024)), ..LoadedConfig::default() };
    server.config.send_replace(Arc::new(settings));
    let mut stream = server.connect().await;
    stream.write_all(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // More than the kernel's buffers hold for the two of them, and nothing is read until the time is over.
    tokio::time::sleep(Duration::from_secs(100)).await;
    let mut taken = Vec::new();
    let cut = stream.read_to_end(&mut taken).await;
    assert!(cut.is_err() || taken.len() < 16 * 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = Server::start().await;
    let head = "PUT /limit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{";
    let reply = server.send(head.as_bytes()).await;
    assert_eq!((reply.status, reply.error().as_str()), (408, "the body did not arrive in time"));
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let server = Server::start().await;
    let reply = server.ask("POST", "/reload", &[], "").await;
    let error = "the server is too busy to answer in time; the change may still apply, check /history";
    assert_eq!((reply.status, reply.error().as_str()), (503, error));
}
