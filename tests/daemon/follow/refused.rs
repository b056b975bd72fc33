//! A limit in the file below the number of open connections.

use std::net::TcpStream;

use super::witness::{config, configured, manager, newest, said};
use crate::harness::{Setup, can_open, skipped, wait_until};

#[test]
fn a_limit_below_the_open_connections_waits_until_they_are_gone() {
    if !can_open(2000) {
        return skipped("needs 2000 open files");
    }
    let settings = "[client]\nlogin_timeout = \"10m\"\n";
    let server = Setup::new().config(settings).start();
    let connect = |_| TcpStream::connect(server.address()).unwrap();
    let mut connections: Vec<_> = (0..750).map(connect).collect();
    server.wait_until_active(750);

    server.write_config(format!("max_connections = 500\n{settings}"));
    server.wait_for_log("cannot set limit to 500 when 750 connections are active");
    let line = "Configured Limit: 500 (refused: 750 connections are active)";
    let waiting =
        "Waiting: 500 is applied once at most 500 connections are active, unless the limit is set first";
    wait_until("the refusal is in the status", || configured(&server).as_deref() == Some(line));
    assert_eq!(
        manager(&server, "status"),
        format!("Connection Status:\nCurrent Limit: 1000\nActive Connections: 750\n{line}\n{waiting}\n")
    );
    let limit = &config(&server)["limit"];
    assert_eq!((&limit["current"], &limit["base"]), (&1000.into(), &500.into()));
    assert_eq!(limit["waiting"], 500);
    assert_eq!(limit["refused"], serde_json::json!({"limit": 500, "reason": "750 connections are active"}));
    let refusal = newest(&server);
    assert_eq!(refusal["door"], "config");
    assert_eq!(refusal["actor"], server.config_path().display().to_string());
    assert_eq!(
        (&refusal["old"], &refusal["new"], &refusal["active"]),
        (&1000.into(), &500.into(), &750.into())
    );
    assert_eq!(refusal["outcome"], "refused");
    assert_eq!(refusal["reason"], "cannot set limit to 500 when 750 connections are active");
    assert_eq!(said(&server, "connection limit not changed"), 1, "{}", server.log());

    connections.truncate(400);
    server.wait_until_active(400);
    server.wait_until_limit(500);
    wait_until("the status has nothing to explain", || configured(&server).is_none());
    assert_eq!(config(&server)["limit"]["refused"], serde_json::Value::Null);
    let applied = newest(&server);
    assert_eq!((&applied["door"], &applied["outcome"]), (&"config".into(), &"applied".into()));
    assert_eq!(said(&server, "connection limit not changed"), 1, "trying is no attempt: {}", server.log());
}
