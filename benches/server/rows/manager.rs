//! One command from the command line: a whole process, from fork to exit.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::contender::{Redis, Shibudb, find};
use crate::figures::{Figures, latencies, record};
use crate::rounds::{Lane, Measured, REDIS, SHIBUDB, Scale, interleave};

const FORK: &str = "fork and exec of `true`";

const COMMANDS: u64 = 200;

pub(super) fn measure(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb::default().start()?;
    let port = (shibudb.management().port()).to_string();
    let commands = scale.count(COMMANDS);
    // The given port is that of the clients; the management port of this server is not the usual one.
    let manager = env!("CARGO_BIN_EXE_shibudb");
    let client_port = shibudb.port().to_string();
    let redis = Redis::installed().then(|| Redis::default().start()).transpose()?;
    let mut lanes = vec![
        Lane::new(SHIBUDB, || {
            run(
                Command::new(manager).args(["manager", &client_port, "--management-port", &port, "stats"]),
                commands,
            )
        }),
        Lane::new(FORK, || run(&mut Command::new(find("true").context("there is no `true`")?), commands)),
    ];
    if let Some(redis) = &redis {
        let port = redis.port().to_string();
        lanes.push(Lane::new(REDIS, move || {
            run(Command::new("redis-cli").args(["-p", &port, "ping"]), commands)
        }));
    }
    interleave(scale, lanes)
}

fn run(command: &mut Command, times: u64) -> Result<Figures> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut latency = latencies();
    for _ in 0..times {
        let begin = Instant::now();
        let status = command.status()?;
        record(&mut latency, begin.elapsed());
        ensure!(status.success(), "{command:?}: {status}");
    }
    Ok(Figures::default().with_latency(&latency))
}
