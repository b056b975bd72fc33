//! The alerts and the dashboard: valid, and about existing metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::scrape::{Scrape, say};
use crate::harness::{Server, Setup};

pub(crate) fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// A server with a value for every metric.
fn lived_in() -> Server {
    let server = Setup::new().limit(5).start();
    server.set_limit(6);
    let mut admin = server.admin();
    say(&mut admin, r#"{"type":"LIST_SPACES"}"#);
    crate::harness::wait_until("it is counted", || Scrape::of(&server).requests("list_spaces", "ok") == 1.0);
    server
}

/// The words in a query that look like names of metrics.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("shibudb_") || word.starts_with("process_"))
}

/// All strings under this name, anywhere in a document.
fn strings<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if field == name => found.push(text),
                    value => strings(value, name, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, name, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_nothing_that_is_not_there() {
    let text = fs::read_to_string(packaging("grafana/shibudb.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    strings(&dashboard, "expr", &mut queries);
    strings(&dashboard, "definition", &mut queries);
    assert!(queries.len() > 30, "{queries:?}");
    let server = lived_in();
    let scrape = Scrape::of(&server);
    let there = scrape.names();
    let asked: BTreeSet<_> = queries.iter().flat_map(|query| metrics(query)).collect();
    let missing: Vec<_> = asked.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // All metrics but the parts of the histogram and uninteresting memory are on it.
    let not_asked: Vec<_> = there.difference(&asked).copied().collect();
    let expected = [
        "process_virtual_memory_bytes",
        "shibudb_request_duration_seconds_count",
        "shibudb_request_duration_seconds_sum",
    ];
    assert_eq!(not_asked, expected);
}

#[test]
fn the_dashboard_is_one_that_grafana_can_lay_out() {
    let text = fs::read_to_string(packaging("grafana/shibudb.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    assert_eq!(dashboard["uid"], "shibudb");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels with one id: {panel}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}

#[test]
fn the_alerts_ask_for_nothing_that_is_not_there() {
    let rules = fs::read_to_string(packaging("prometheus/shibudb.rules.yml")).unwrap();
    let server = lived_in();
    let scrape = Scrape::of(&server);
    let there = scrape.names();
    let queries = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let asked: BTreeSet<_> = queries.flat_map(metrics).collect();
    assert!(asked.len() >= 8, "{asked:?}");
    let missing: Vec<_> = asked.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_package_has_them() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for path in [
        "prometheus/shibudb.rules.yml",
        "prometheus/tests.yml",
        "prometheus/prometheus.yml",
        "grafana/shibudb.json",
    ] {
        assert!(packaging(path).exists(), "{path}");
        let (folder, _) = path.split_once('/').unwrap();
        assert!(manifest.contains(&format!("\"packaging/{folder}/*\"")), "{path} is not packaged");
    }
}
