//! Ten thousand clients that never log in, and one that works.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::alone;
use crate::harness::{Setup, Times, can_open, skipped, within};

const SILENT: u32 = 10_000;
const REQUESTS: u32 = 2_000;
const LOGINS: u32 = 200;
/// The goal for other clients' requests, at the 99th percentile.
const BOUND: Duration = Duration::from_millis(50);

#[test]
fn ten_thousand_silent_connections_delay_nobody() {
    let _alone = alone();
    if !can_open(u64::from(SILENT) + 500) {
        return skipped(&format!("needs {} open files", SILENT + 500));
    }
    let server = Setup::new().limit(SILENT + 10).config("[client]\nlogin_timeout = \"10m\"\n").start();
    let mut good = server.admin();
    good.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    let memory_before = memory(server.pid());
    let silent: Vec<_> = (0..SILENT).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.wait_until_active(u64::from(SILENT) + 1);

    let [mut puts, mut gets, mut logins, mut management] = [(); 4].map(|()| Times::default());
    for number in 0..REQUESTS {
        let (key, value) = (format!("k{}", number % 100), number.to_string());
        let answer =
            puts.measure(|| good.ask(&json!({"type": "PUT", "space": "s", "key": key, "value": value})));
        assert_eq!(answer["status"], "OK");
        let answer = gets.measure(|| good.ask(&json!({"type": "GET", "space": "s", "key": key})));
        assert_eq!(answer["value"], value);
    }
    for _ in 0..LOGINS {
        logins.measure(|| server.admin());
        management.measure(|| server.limit());
    }
    let per_connection = memory(server.pid()).saturating_sub(memory_before) / u64::from(SILENT);
    println!("{SILENT} silent connections, {per_connection} bytes each");
    for (what, times) in [
        ("GET", &mut gets),
        ("PUT", &mut puts),
        ("connect and log in", &mut logins),
        ("GET /limit", &mut management),
    ] {
        times.report(what);
        within(&format!("99 % of {what}"), times.percentile(99), BOUND);
    }
    drop(silent);
    server.wait_until_active(1);
}

/// The private memory of a process, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
