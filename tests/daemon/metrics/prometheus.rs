//! Prometheus itself, and promtool.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::scrape::{ask, say};
use super::shipped::packaging;
use crate::harness::{Server, Setup, http, skipped, wait_until};

/// The path of a program; `None`, with a message, if it is missing.
#[track_caller]
fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(tool)).find(|path| path.exists());
    if found.is_none() {
        skipped(&format!("needs the program {tool}, from Debian's package prometheus"));
    }
    found
}

/// The output of promtool, which must succeed.
#[track_caller]
fn content(output: &Output) -> String {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// `promtool <words> <file>` beside the shipped files.
#[track_caller]
fn promtool_on(words: [&str; 2], file: &str) {
    let Some(promtool) = find("promtool") else { return };
    let output =
        Command::new(promtool).args(words).arg(file).current_dir(packaging("prometheus")).output().unwrap();
    assert!(content(&output).contains("SUCCESS"));
}

#[test]
fn promtool_has_nothing_against_the_metrics() {
    let Some(promtool) = find("promtool") else { return };
    let server = Setup::new().limit(5).start();
    server.set_limit(6);
    let mut admin = server.admin();
    say(&mut admin, r#"{"type":"LIST_SPACES"}"#);
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(ask(&server, "text/plain").body.as_bytes()).unwrap();
    assert_eq!(content(&child.wait_with_output().unwrap()), "");
}

#[test]
fn the_alerts_are_rules() {
    promtool_on(["check", "rules"], "shibudb.rules.yml");
}

#[test]
fn the_alerts_fire_when_they_should() {
    promtool_on(["test", "rules"], "tests.yml");
}

#[test]
fn the_example_is_a_configuration() {
    promtool_on(["check", "config"], "prometheus.yml");
}

/// A running Prometheus of one test's own. Killed when it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Prometheus {
    fn start(program: &Path, server: &Server) -> Self {
        // Prometheus does not report the port for port 0, and a free port may be taken by the time it starts.
        for _ in 0..5 {
            if let Some(prometheus) = Self::try_start(program, server) {
                return prometheus;
            }
        }
        panic!("Prometheus found no port");
    }

    fn try_start(program: &Path, server: &Server) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let example = fs::read_to_string(packaging("prometheus/prometheus.yml")).unwrap();
        let target = format!("localhost:{}", server.management_port());
        let rules = packaging("prometheus/shibudb.rules.yml");
        let text = example
            .replace("localhost:10090", &target)
            .replace("- shibudb.rules.yml", &format!("- {}", rules.display()));
        assert!(text.contains(&target) && text.contains("packaging"));
        fs::write(&config, format!("global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n{text}"))
            .unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut ended = false;
        wait_until("Prometheus listens", || {
            ended = child.try_wait().unwrap().is_some();
            ended || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        let prometheus = Self { child, port, directory };
        if ended {
            let said = prometheus.log();
            assert!(said.contains("address already in use"), "{said}");
            return None;
        }
        wait_until("Prometheus is ready", || prometheus.get("/-/ready").status == 200);
        Some(prometheus)
    }

    fn get(&self, path: &str) -> http::Reply {
        // HTTP/1.0, so that the answer is not chunked.
        http::send(self.port, format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
    }

    /// The value of an expression that yields one, now.
    fn value(&self, expression: &str) -> Option<f64> {
        let answer = self.get(&format!("/api/v1/query?query={expression}")).json();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"][0]["value"][1].as_str().map(|value| value.parse().unwrap())
    }

    fn targets(&self) -> Value {
        self.get("/api/v1/targets").json()["data"]["activeTargets"].clone()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("Prometheus' log:\n{}", self.log());
        }
    }
}

#[test]
fn prometheus_scrapes_it() {
    let Some(program) = find("prometheus") else { return };
    let server = Setup::new().limit(10).start();
    let prometheus = Prometheus::start(&program, &server);
    wait_until("the target is up", || prometheus.value("up") == Some(1.0));
    // On a busy machine a single scrape may take too long.
    wait_until("the target has no error", || prometheus.targets()[0]["lastError"] == "");

    let is = |expression: &str, value: f64| {
        wait_until(&format!("{expression} is {value}"), || prometheus.value(expression) == Some(value));
    };
    is("shibudb_connections", 0.0);
    let mut clients: Vec<_> = (0..4).map(|_| server.admin()).collect();
    is("shibudb_connections", 4.0);
    is("shibudb_connections_limit", 10.0);
    server.set_limit(20);
    is("shibudb_connections_limit", 20.0);
    is("shibudb_limit_changes_total{door=%22http%22,outcome=%22applied%22}", 1.0);
    say(&mut clients[0], r#"{"type":"LIST_SPACES"}"#);
    is("shibudb_request_duration_seconds_bucket{type=%22list_spaces%22,le=%22%2BInf%22}", 1.0);
    clients.truncate(1);
    is("shibudb_connections", 1.0);
    is("shibudb_connections_peak", 4.0);
}
