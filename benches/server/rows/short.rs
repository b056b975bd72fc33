//! Short connections: rejected, answered with an error, logged in.

use std::time::Duration;

use anyhow::Result;

use crate::bare;
use crate::burst::{self, BAD_LINE, Script, Size};
use crate::contender::{Contender, LOGIN, Redis, Shibudb, start_bare};
use crate::crowd;
use crate::figures::{Figures, LOST, RESETS};
use crate::language::{Greeting, Language};
use crate::rounds::{Lane, Measured, REDIS, SHIBUDB, Scale, TOKIO, interleave};

/// The limit that must be reached before clients are rejected.
const LIMIT: usize = 1000;

const CONNECTIONS: u64 = 100_000;

/// The comparison with a server that reads nothing, where clients send.
pub(crate) const SILENT_CLIENTS: &str = "bare tokio, silent clients";

const REJECTED: Script<'static> =
    Script { send: b"", expect: b"Server at maximum capacity", server_closes: true };

/// The clients send at once, as real ones do, and the server must not answer that with a reset.
const REJECTED_LOGIN: Script<'static> = Script { send: LOGIN, ..REJECTED };

const PING: Script<'static> = Script { send: b"PING\r\n", expect: b"+PONG", server_closes: false };

const LOG_IN: Script<'static> = Script { send: LOGIN, expect: b"\"status\":\"OK\"", server_closes: false };

pub(super) fn rejections(scale: &Scale) -> Result<Measured> {
    let full = Shibudb { limit: LIMIT, ..Shibudb::default() }.start()?;
    let held = crowd::hold(full.address(), LIMIT, Greeting::SILENCE)?;
    let bare = start_bare(bare::Kind::LineClose)?;
    let redis = full_redis()?;
    let mut lanes = vec![
        Lane::new(SHIBUDB, || {
            crowd::still_held(&held)?;
            strict(scale, &full, REJECTED)
        }),
        Lane::new(TOKIO, || strict(scale, &bare, REJECTED)),
    ];
    if let Some((redis, _held)) = &redis {
        let script = Script { expect: b"max number of clients", ..REJECTED };
        lanes.push(Lane::new(REDIS, move || strict(scale, redis, script)));
    }
    interleave(scale, lanes)
}

pub(super) fn rejected_logins(scale: &Scale) -> Result<Measured> {
    let full = Shibudb { limit: LIMIT, ..Shibudb::default() }.start()?;
    let held = crowd::hold(full.address(), LIMIT, Greeting::SILENCE)?;
    let bare = start_bare(bare::Kind::LineClose)?;
    let redis = full_redis()?;
    let mut lanes = vec![
        Lane::new(SHIBUDB, || {
            crowd::still_held(&held)?;
            counted(scale, &full, REJECTED_LOGIN)
        }),
        // It does not read, so clients that send would get a reset.
        Lane::new(SILENT_CLIENTS, || counted(scale, &bare, REJECTED)),
    ];
    if let Some((redis, _held)) = &redis {
        let script = Script { expect: b"max number of clients", ..REJECTED_LOGIN };
        lanes.push(Lane::new(REDIS, move || counted(scale, redis, script)));
    }
    interleave(scale, lanes)
}

pub(super) fn bad_lines(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb::default().start()?;
    let bare = start_bare(bare::Kind::BadLineClose)?;
    let redis = Redis::installed().then(|| Redis::default().start()).transpose()?;
    let mut lanes = vec![
        Lane::new(SHIBUDB, || strict(scale, &shibudb, BAD_LINE)),
        Lane::new(TOKIO, || strict(scale, &bare, BAD_LINE)),
    ];
    if let Some(redis) = &redis {
        lanes.push(Lane::new(REDIS, || strict(scale, redis, PING)));
    }
    interleave(scale, lanes)
}

pub(super) fn logins(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb::default().start()?;
    // The first login costs the full hash of the password. The following ones are of a known user.
    burst::run(shibudb.address(), LOG_IN, Size { at_a_time: 1, total: 1, at_most: Duration::from_secs(1) })?
        .all_answered()?;
    interleave(scale, vec![Lane::new(SHIBUDB, || strict(scale, &shibudb, LOG_IN))])
}

/// Redis with as many clients as it allows, and those clients.
fn full_redis() -> Result<Option<(Contender, Vec<std::net::TcpStream>)>> {
    if !Redis::installed() {
        return Ok(None);
    }
    let redis = Redis { limit: LIMIT, ..Redis::default() }.start()?;
    // It counts a closed client for a moment longer, such as the one that waited for its start.
    std::thread::sleep(Duration::from_millis(300));
    let held = crowd::hold(redis.address(), LIMIT, Language::Redis.greeting())?;
    Ok(Some((redis, held)))
}

/// Every client must be answered.
fn strict(scale: &Scale, server: &Contender, script: Script<'_>) -> Result<Figures> {
    let (outcome, figures) = burst::measure(server.address(), server.pid(), script, size(scale))?;
    outcome.all_answered()?;
    Ok(figures)
}

/// Lost and reset clients are part of the result.
fn counted(scale: &Scale, server: &Contender, script: Script<'_>) -> Result<Figures> {
    let (outcome, figures) = burst::measure(server.address(), server.pid(), script, size(scale))?;
    let lost = outcome.lost + outcome.failed;
    Ok(figures.with(LOST, lost as f64).with(RESETS, outcome.resets as f64))
}

fn size(scale: &Scale) -> Size {
    Size { at_a_time: 64, total: scale.count(CONNECTIONS), at_most: scale.seconds(5.0) }
}
