//! Killed a hundred times during a stream of changes: the limit after each start is one of the last
//! requested, and the history contains exactly what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::witness::Dice;
use crate::harness::Setup;

const KILLS: usize = 100;

/// The state of a stream of changes when the server was killed.
#[derive(Debug)]
struct Stream {
    /// The acknowledged limits, in order.
    acknowledged: Vec<u64>,
    /// The limit that was sent and not answered.
    in_flight: Option<u64>,
}

/// Sets one limit after the other, each a different one, until the server is gone.
fn stream(port: u16, first: u64) -> Stream {
    let mut stream = Stream { acknowledged: Vec::new(), in_flight: None };
    for limit in first.. {
        let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { break };
        stream.in_flight = Some(limit);
        let body = format!("{{\"limit\":{limit}}}");
        let request = format!(
            "PUT /limit HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        let sent = connection.write_all(request.as_bytes());
        // A reset by the dying server; what came before it counts.
        let _read = sent.and_then(|()| connection.read_to_string(&mut answer));
        if !answer.starts_with("HTTP/1.1 200 ") {
            assert_eq!(answer, "", "a server that is alive has no reason to refuse");
            break;
        }
        stream.acknowledged.push(limit);
        stream.in_flight = None;
    }
    stream
}

#[test]
fn after_every_kill_the_limit_is_the_old_or_the_new_one() {
    let mut dice = Dice::new();
    let mut server = Setup::new().start();
    let mut limit = server.limit();
    let mut next = limit + 1;
    let (mut asked, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..KILLS {
        let port = server.management_port();
        let changes = thread::spawn(move || stream(port, next));
        thread::sleep(Duration::from_micros(dice.below(120_000)));
        server.kill();
        let Stream { acknowledged: done, in_flight } = changes.join().unwrap();
        asked.extend(done.iter().copied().chain(in_flight));
        acknowledged.extend(done.iter().copied());
        next = asked.last().map_or(next, |last| last + 1);

        server.start_again();
        let old = done.last().copied().unwrap_or(limit);
        limit = server.limit();
        assert!(
            limit == old || Some(limit) == in_flight,
            "round {round}: {limit}, not {old} or {in_flight:?}"
        );
    }
    assert!(acknowledged.len() > KILLS, "{} changes in {KILLS} rounds show little", acknowledged.len());

    let history = fs::read_to_string(server.data_dir().join("limit-history.jsonl")).unwrap();
    let mut recorded = BTreeMap::new();
    let mut revision = 0;
    for line in history.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(record["outcome"], "applied", "{line}");
        revision += 1;
        assert_eq!(record["revision"], revision, "{line}");
        let new = record["new"].as_u64().unwrap();
        if record["door"] == "http" {
            assert!(asked.contains(&new), "nobody asked for {line}");
            *recorded.entry(new).or_insert(0) += 1;
        } else {
            assert_eq!(record["door"], "startup", "{line}");
            assert!(new == 1000 || asked.contains(&new), "nobody asked for {line}");
        }
    }
    assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
    let forgotten: Vec<_> = acknowledged.iter().filter(|limit| !recorded.contains_key(limit)).collect();
    assert!(forgotten.is_empty(), "acknowledged and not recorded: {forgotten:?}");
}
