//! History, configuration, statistics, reload.

use std::sync::Arc;

use serde_json::{Value, json};
use shibudb::control::{Actor, Change, Door, LimitRequest, Reread};
use shibudb::management::ReloadRefusal;
use shibudb::management::wire::{
    ChangedSetting, History, LastReload, LoadedConfig, RefusedSetting, ReloadOutcome, ReloadReport, Setting,
    Source, Stats, StoreReport, StoreState,
};

use super::server::Server;

#[tokio::test]
async fn a_tiny_share_is_written_without_an_exponent() {
    let server = Server::start_with(19_900).await;
    let _held = server.occupy(1);
    let stats: Stats = serde_json::from_str(&server.get("/stats").await.body).unwrap();
    assert!((stats.usage_percentage - 100.0 / 19_900.0).abs() < f64::EPSILON);
    assert!(!server.get("/stats").await.body.contains("e-"));
}

#[tokio::test]
async fn history_tells_every_attempt_newest_first() {
    let server = Server::start().await;
    let _held = server.occupy(750);
    server.json("PUT", "/limit", r#"{"limit":2000}"#).await;
    let cli = ["Content-Type: application/json", "Shibudb-Door: cli"];
    server.ask("PUT", "/limit", &cli, r#"{"limit":500}"#).await;
    let request = LimitRequest {
        change: Change::Reset,
        door: Door::Signal,
        actor: Actor::Process { pid: 7, user: 1000.into() },
        if_revision: None,
    };
    server.control.change(request).await.unwrap();

    let body = server.get("/history").await.body;
    let History { changes } = serde_json::from_str(&body).unwrap();
    let facts: Vec<Value> = changes
        .iter()
        .map(|change| {
            let mut fact = serde_json::to_value(change).unwrap();
            if change.actor.starts_with("127.0.0.1:") {
                fact["actor"] = "a client".into();
            }
            fact.as_object_mut().unwrap().remove("time");
            fact
        })
        .collect();
    let refusal = "cannot set limit to 500 when 750 connections are active";
    assert_eq!(
        json!(facts),
        json!([
            {"revision":3,"door":"signal","actor":"pid 7 uid 1000","old":2000,"new":1000,"active":750,"outcome":"applied"},
            {"revision":2,"door":"cli","actor":"a client","old":2000,"new":500,"active":750,"outcome":"refused","reason":refusal},
            {"revision":2,"door":"http","actor":"a client","old":1000,"new":2000,"active":750,"outcome":"applied"},
            {"revision":1,"door":"startup","actor":"command line","old":null,"new":1000,"active":0,"outcome":"applied"},
        ])
    );
    let first = format!(
        r#"{{"changes":[{{"time":"{}","revision":3,"door":"signal","actor":"pid 7 uid 1000","old":2000,"new":1000,"active":750,"outcome":"applied"}},"#,
        changes[0].time
    );
    assert!(body.starts_with(&first), "{body}");
}

#[tokio::test]
async fn only_the_known_door_is_honoured() {
    let server = Server::start().await;
    for (headers, door) in [
        (vec!["Shibudb-Door: cli"], "cli"),
        (vec!["shibudb-door: cli"], "cli"),
        (vec!["Shibudb-Door: signal"], "http"),
        (vec!["Shibudb-Door: CLI"], "http"),
        (vec!["Shibudb-Door: cli", "Shibudb-Door: http"], "http"),
        (vec![], "http"),
    ] {
        server.ask("POST", "/limit/increase", &headers, "").await;
        let History { changes } = serde_json::from_str(&server.get("/history?limit=1").await.body).unwrap();
        assert_eq!(changes[0].door, door, "{headers:?}");
    }
}

#[tokio::test]
async fn history_is_as_long_as_asked_for() {
    let server = Server::start().await;
    for _ in 0..60 {
        server.ask("POST", "/limit/increase", &[], "").await;
    }
    for (query, length) in [("", 50), ("?", 50), ("?limit=1", 1), ("?limit=60", 60), ("?limit=1000", 61)] {
        let reply = server.get(&format!("/history{query}")).await;
        let History { changes } = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(changes.len(), length, "{query}");
        assert!(changes.is_sorted_by(|newer, older| newer.revision > older.revision));
    }
    let range = |got: &str| format!("limit must be a whole number from 1 to 1000, got `{got}`");
    for (query, error) in [
        ("limit=0", range("0")),
        ("limit=1001", range("1001")),
        ("limit=-1", range("-1")),
        ("limit=1.5", range("1.5")),
        ("limit=ten", range("ten")),
        ("limit=", range("")),
        ("limit", range("")),
        ("limit=99999999999999999999", range("99999999999999999999")),
        ("limit=1&limit=2", "`limit` is given more than once".into()),
        ("n=5", "unknown parameter `n`, expected `limit`".into()),
    ] {
        let reply = server.get(&format!("/history?{query}")).await;
        assert_eq!((reply.status, reply.error()), (400, error));
    }
}

fn setting(key: &str, value: impl Into<Value>, source: Source, live: bool) -> Setting {
    let effect = if live { "live" } else { "restart" }.to_owned();
    Setting {
        key: key.into(),
        value: value.into(),
        default: 1000.into(),
        source,
        live,
        effect,
        pending: None,
    }
}

#[tokio::test]
async fn config_joins_what_was_loaded_with_what_the_limit_rests_on_now() {
    let server = Server::start().await;
    let limit = setting("max_connections", 1000, Source::CommandLine, true);
    let port = Setting { pending: Some(9191.into()), ..setting("port", 9090, Source::File, false) };
    let last_reload = LastReload {
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        door: "config".into(),
        outcome: ReloadOutcome::Failed,
        error: Some("line 3: no".into()),
    };
    server.config.send_replace(Arc::new(LoadedConfig {
        awaited_file: None,
        file: Some("/etc/shibudb/shibudb.toml".into()),
        settings: vec![port, limit],
        last_reload: Some(last_reload),
        troubled_files: Vec::new(),
        log_file: None,
    }));
    assert_eq!(
        server.get("/config").await.body,
        concat!(
            r#"{"file":"/etc/shibudb/shibudb.toml","#,
            r#""limit":{"current":1000,"base":1000,"base_source":"command line","ceiling":19900,"revision":1,"override":null,"refused":null,"unwritten_records":0},"#,
            r#""settings":[{"key":"port","value":9090,"default":1000,"source":"file","live":false,"effect":"restart","pending":9191},"#,
            r#"{"key":"max_connections","value":1000,"default":1000,"source":"command line","live":true,"effect":"live","pending":null}],"#,
            r#""last_reload":{"time":"2026-01-02T03:04:05Z","door":"config","outcome":"failed","error":"line 3: no"},"#,
            r#""store":{"state":"ok"}}"#
        )
    );

    server.json("PUT", "/limit", r#"{"limit":1500}"#).await;
    let config: Value = serde_json::from_str(&server.get("/config").await.body).unwrap();
    assert_eq!(config["limit"]["override"]["limit"], 1500);
    assert_eq!(config["limit"]["override"]["door"], "http");
    assert_eq!(config["settings"][1]["value"], 1500);
    assert_eq!(config["settings"][1]["source"], "override");

    let _held = server.occupy(750);
    server.control.configure(500.try_into().ok(), Reread::Found, Actor::Default).await.unwrap();
    let config: Value = serde_json::from_str(&server.get("/config").await.body).unwrap();
    assert_eq!(config["limit"]["refused"], json!({"limit":500,"reason":"750 connections are active"}));
    assert_eq!(config["limit"]["base"], 500);
    assert_eq!(config["settings"][1]["pending"], 500);

    server.config.send_replace(Arc::default());
    let config: Value = serde_json::from_str(&server.get("/config").await.body).unwrap();
    assert_eq!((&config["file"], &config["last_reload"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn reload_is_the_daemons_to_do_and_its_report_is_passed_on() {
    let mut server = Server::start().await;
    let daemon = async {
        let request = server.reloads.recv().await.unwrap();
        assert_eq!(request.door, Door::Cli);
        let me = rustix::process::geteuid().as_raw();
        // The table of sockets may be long, and the machine busy.
        assert!(match request.actor {
            Actor::Local { peer, user } => peer.ip().is_loopback() && user.uid == me,
            Actor::Peer(peer) => peer.ip().is_loopback(),
            _ => false,
        });
        let changed = |key: &str, old: u32, new: u32| ChangedSetting {
            key: key.into(),
            old: old.into(),
            new: new.into(),
        };
        let refused = RefusedSetting {
            key: "max_connections".into(),
            value: 5.into(),
            reason: "7 are active".into(),
            waits: true,
        };
        let report = ReloadReport::new(
            Some("/x.toml".into()),
            vec![changed("limits.signal_step", 100, 50)],
            vec![changed("port", 9090, 9191)],
            vec![refused],
        );
        request.reply.send(Ok(report)).unwrap();
        server.reloads
    };
    let (address, headers) = (server.address, "Shibudb-Door: cli");
    let client = async {
        let answer = reqwest::Client::new()
            .post(format!("http://{address}/reload"))
            .header(headers.split(": ").next().unwrap(), "cli")
            .send();
        answer.await.unwrap().text().await.unwrap()
    };
    let (mut reloads, answer) = tokio::join!(daemon, client);
    assert_eq!(
        answer,
        concat!(
            r#"{"status":"success","file":"/x.toml","changed":[{"key":"limits.signal_step","old":100,"new":50}],"#,
            r#""restart":[{"key":"port","old":9090,"new":9191}],"#,
            r#""refused":[{"key":"max_connections","value":5,"reason":"7 are active","waits":true}],"#,
            r#""message":"Configuration reloaded: 1 setting changed, 1 waiting for a restart, 1 refused"}"#
        )
    );

    let client = async {
        let answer = reqwest::Client::new().post(format!("http://{address}/reload")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let daemon = async {
        let request = reloads.recv().await.unwrap();
        request.reply.send(Err(ReloadRefusal::Invalid("line 1: \"no\"".into()))).unwrap();
    };
    let ((), answer) = tokio::join!(daemon, client);
    assert_eq!(answer, (400, r#"{"error":"line 1: \"no\"","status":"failed"}"#.into()));

    drop(reloads);
    let answer = reqwest::Client::new().post(format!("http://{address}/reload")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.text().await.unwrap(), r#"{"error":"the server is shutting down","status":"failed"}"#);
}

#[tokio::test]
async fn a_store_that_takes_no_writes_degrades_the_health_and_says_why() {
    let server = Server::start().await;
    assert_eq!(server.get("/health").await.body, r#"{"status":"healthy","service":"shibudb"}"#);
    server.store.send_replace(StoreReport {
        state: StoreState::DiskFull,
        problem: Some("the disk is full".into()),
        since: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    });
    let health = server.get("/health").await;
    // A degraded server is alive: the status is 200.
    assert_eq!((health.status, &*health.body), (200, r#"{"status":"degraded","service":"shibudb"}"#));
    let config: Value = serde_json::from_str(&server.get("/config").await.body).unwrap();
    let expected =
        json!({"state": "disk_full", "problem": "the disk is full", "since": "2026-01-02T03:04:05Z"});
    assert_eq!(config["store"], expected);
}
