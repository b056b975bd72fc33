//! Keys read and written.

use anyhow::Result;

use crate::bare;
use crate::contender::{Contender, Redis, Shibudb, start_bare};
use crate::dialogue::{Dialogue, KEYS, Mix};
use crate::language::Language;
use crate::rounds::{EPOLL, Lane, Measured, REDIS, SHIBUDB, Scale, interleave};

const CONNECTIONS: usize = 64;

const SECONDS: f64 = 4.0;

pub(super) fn gets(scale: &Scale) -> Result<Measured> {
    compare(scale, Mix::Gets, "always", "always", bare::Kind::EpollReply)
}

pub(super) fn puts(scale: &Scale) -> Result<Measured> {
    compare(scale, Mix::Puts, "always", "always", bare::Kind::EpollSyncReply)
}

pub(super) fn puts_1s(scale: &Scale) -> Result<Measured> {
    compare(scale, Mix::Puts, "1s", "everysec", bare::Kind::EpollReply)
}

fn compare(
    scale: &Scale,
    mix: Mix,
    durability: &'static str,
    appendfsync: &'static str,
    bare: bare::Kind,
) -> Result<Measured> {
    let shibudb = Shibudb { durability, ..Shibudb::default() }.start()?;
    let bare = start_bare(bare)?;
    let redis = Redis::installed().then(|| Redis { appendfsync, ..Redis::default() }.start()).transpose()?;
    let mut lanes = vec![
        lane(scale, mix, SHIBUDB, Language::Shibudb, &shibudb)?,
        lane(scale, mix, EPOLL, Language::Lines, &bare)?,
    ];
    if let Some(redis) = &redis {
        lanes.push(lane(scale, mix, REDIS, Language::Redis, redis)?);
    }
    interleave(scale, lanes)
}

fn lane<'a>(
    scale: &Scale,
    mix: Mix,
    name: &'static str,
    language: Language,
    server: &'a Contender,
) -> Result<Lane<'a>> {
    let mut dialogue = Dialogue::open(server.address(), language, CONNECTIONS)?;
    dialogue.fill(KEYS)?;
    let length = scale.seconds(SECONDS);
    Ok(Lane::new(name, move || dialogue.measure(server.pid(), mix, KEYS, length)))
}
