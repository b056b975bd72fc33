//! The event stream.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shibudb::control::{Actor, Change, Door, LimitRequest};
use shibudb::management::ConnectionSlots;
use shibudb::management::wire::HistoryEntry;
use shibudb::series::Sample;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::server::Server;

const FOLLOW: &[u8] = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A client that follows the events.
struct Follower {
    stream: BufReader<TcpStream>,
}

impl Follower {
    async fn of(server: &Server) -> Self {
        let (status, follower) = Self::ask(server, FOLLOW).await;
        assert_eq!(status, 200);
        follower
    }

    async fn ask(server: &Server, request: &[u8]) -> (u16, Self) {
        let mut stream = BufReader::new(server.connect().await);
        stream.write_all(request).await.unwrap();
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "{head}");
            head += &line;
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_events = head.contains("content-type: text/event-stream\r\n");
        assert_eq!(is_events, status == 200, "{head}");
        assert!(head.contains("cache-control: no-store\r\n"), "{head}");
        (status, Self { stream })
    }

    /// The next event, or `None` at the end of them.
    async fn next(&mut self) -> Option<(String, Value)> {
        let (mut event, mut data) = (None, None);
        while event.is_none() || data.is_none() {
            let mut line = String::new();
            // Chunk lengths and the empty lines in between are skipped.
            if self.stream.read_line(&mut line).await.unwrap() == 0 || line == "0\r\n" {
                return None;
            }
            let line = line.trim_end();
            if let Some(name) = line.strip_prefix("event: ") {
                event = Some(name.to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            }
        }
        event.zip(data)
    }

    /// The data of the next event of a kind; skips others.
    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let (event, data) = self.next().await.unwrap();
            if event == kind {
                return data;
            }
        }
    }
}

fn sample(second: i64) -> Sample {
    Sample { second, active: 7, limit: 1000, accepted: 9, rejected: 2 }
}

/// An attempt whose record has this many bytes.
fn large(bytes: usize) -> LimitRequest {
    let actor = Actor::File(PathBuf::from("x".repeat(bytes)));
    LimitRequest { change: Change::Set(0), door: Door::Config, actor, if_revision: None }
}

#[tokio::test]
async fn the_newest_sample_comes_at_once_and_each_further_one_when_it_is_taken() {
    let mut server = Server::start().await;
    server.series.record(sample(100));
    let mut follower = Follower::of(&server).await;
    let event = |time: i64| {
        let data = json!({"time": time, "active": 7, "limit": 1000, "accepted": 9, "rejected": 2});
        Some(("sample".to_owned(), data))
    };
    assert_eq!(follower.next().await, event(100));
    server.series.record(sample(101));
    assert_eq!(follower.next().await, event(101));
}

#[tokio::test]
async fn every_attempt_is_told_as_the_history_tells_it() {
    let server = Server::start().await;
    let mut follower = Follower::of(&server).await;
    server.json("PUT", "/limit", r#"{"limit":2000}"#).await;
    server.json("PUT", "/limit", r#"{"limit":20000}"#).await;
    let mut told = vec![follower.next_of("change").await, follower.next_of("change").await];
    told.reverse();
    let history: Value = serde_json::from_str(&server.get("/history?limit=2").await.body).unwrap();
    assert_eq!(json!(told), history["changes"]);
    assert_eq!((&told[0]["outcome"], &told[1]["outcome"]), (&json!("refused"), &json!("applied")));
}

#[tokio::test]
async fn whatever_may_change_the_config_report_is_told() {
    let server = Server::start().await;
    let mut follower = Follower::of(&server).await;
    server.json("PUT", "/limit", r#"{"limit":2000}"#).await;
    let both = [follower.next().await.unwrap(), follower.next().await.unwrap()];
    let revision = ("config".to_owned(), json!({"revision": 2}));
    assert!(both.contains(&revision), "an override: {both:?}");
    server.config.send_replace(Arc::default());
    assert_eq!(follower.next().await, Some(revision), "a reload");
}

#[tokio::test]
async fn half_of_the_places_are_left_for_requests() {
    let mut server = Server::start().await;
    let mut followers = Vec::new();
    for _ in 0..ConnectionSlots::default().tcp / 2 {
        followers.push(Follower::of(&server).await);
    }
    let reply = server.get("/events").await;
    assert_eq!(reply.status, 503);
    assert!(reply.error().starts_with("too many /events streams"));
    assert_eq!(server.get("/stats").await.status, 200);

    followers.pop();
    // The server notices that a follower is gone when it sends an event.
    for second in 1..1000 {
        server.series.record(sample(second));
        if Follower::ask(&server, FOLLOW).await.0 == 200 {
            return;
        }
    }
    panic!("its place is never given to another");
}

#[tokio::test]
async fn a_server_that_ends_ends_them_at_once() {
    let server = Server::start().await;
    let mut followers = [Follower::of(&server).await, Follower::of(&server).await];
    server.shutdown.cancel();
    for follower in &mut followers {
        assert_eq!(follower.next().await, None);
    }
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_token_ends_them_and_the_same_one_does_not() {
    let mut server = Server::start().await;
    server.expect_token("correct-horse");
    assert_eq!(server.get("/events").await.status, 401);
    let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer correct-horse\r\n\r\n";
    let (status, mut follower) = Follower::ask(&server, request).await;
    assert_eq!(status, 200);
    server.expect_token("correct-horse");
    server.series.record(sample(1));
    follower.next_of("sample").await;
    server.expect_token("battery-staple");
    assert_eq!(follower.next().await, None);
    assert_eq!(Follower::ask(&server, request).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn a_follower_may_stay_and_one_that_takes_nothing_may_not() {
    let mut server = Server::start().await;
    let (mut taking, mut stuck) = (Follower::of(&server).await, Follower::of(&server).await);
    // More than the kernel's buffers hold for the two of them.
    for _ in 0..24 {
        server.control.change(large(1 << 20)).await.unwrap_err();
        taking.next_of("change").await;
    }
    for second in 0..20 {
        sleep(Duration::from_secs(10)).await;
        server.series.record(sample(second));
        assert_eq!(taking.next_of("sample").await["time"], second);
    }
    let mut taken = Vec::new();
    let ended = timeout(Duration::from_secs(1000), stuck.stream.read_to_end(&mut taken)).await;
    assert!(ended.is_ok() && taken.len() < 24 << 20, "{} bytes", taken.len());
}

#[tokio::test]
async fn who_is_too_slow_is_told_how_much_was_missed() {
    let server = Server::start().await;
    let mut slow = Follower::of(&server).await;
    let attempts = 300;
    for _ in 0..attempts {
        server.control.change(large(100_000)).await.unwrap_err();
    }
    let (mut told, mut missed) = (0, 0);
    while told + missed < attempts {
        match slow.next().await.unwrap() {
            (event, data) if event == "change" => {
                told += 1;
                serde_json::from_value::<HistoryEntry>(data).unwrap();
            }
            (event, data) if event == "missed" => missed += data["changes"].as_u64().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0 && told >= 64, "{told} told, {missed} missed");
}
