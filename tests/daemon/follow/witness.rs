//! Observations of these tests, and the environment that some of them need.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::Value;

use crate::harness::{Server, wait_until, within};

/// The time after the last write within which an edit must be in force.
pub(crate) const PROMISE: Duration = Duration::from_secs(1);

/// The wrapper of a test without inotify.
pub(crate) const NO_INOTIFY: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    r#"echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@""#,
];

/// Waits until the limit is `limit`, and measures the time by the server's own clock, so that a slow test does
/// not count against the server. `written` is the time of the end of the last write.
#[track_caller]
pub(crate) fn converges(server: &Server, limit: u64, written: Timestamp, what: &str) {
    // The limit is changed first and recorded right after.
    let mut change = Value::Null;
    wait_until(&format!("{what} makes the limit {limit}"), || {
        let is_this = |change: &Value| change["door"] == "config" && change["outcome"] == "applied";
        change = find(server, is_this).unwrap_or_default();
        change["new"] == limit && server.limit() == limit
    });
    let applied: Timestamp = change["time"].as_str().unwrap().parse().unwrap();
    let took = applied.duration_since(written).unsigned_abs();
    if applied > written {
        within(what, took, PROMISE);
    }
}

/// The newest entry of the history of this kind, if there is one.
fn find(server: &Server, is: impl Fn(&Value) -> bool) -> Option<Value> {
    let history = server.get("/history").json();
    history["changes"].as_array().unwrap().iter().find(|change| is(change)).cloned()
}

/// The newest entry of the history.
pub(crate) fn newest(server: &Server) -> Value {
    find(server, |_| true).unwrap()
}

pub(crate) fn config(server: &Server) -> Value {
    server.get("/config").json()
}

/// The number of occurrences in the log.
pub(crate) fn said(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

/// What `shibudb manager` prints; it must succeed.
#[track_caller]
pub(crate) fn manager(server: &Server, words: &str) -> String {
    let output = server.manager(words);
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The line of `manager status` that says why the limit is not the configured one.
#[track_caller]
pub(crate) fn configured(server: &Server) -> Option<String> {
    let status = manager(server, "status");
    status.lines().find(|line| line.starts_with("Configured Limit:")).map(str::to_owned)
}

/// Reproducible pseudo-random numbers: splitmix64. The seed is printed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = env::var("SHIBUDB_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = seed.unwrap_or(u64::from(now.subsec_nanos()));
        println!("SHIBUDB_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}
