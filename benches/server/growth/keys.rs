//! The start time of a server with much data, and its memory then.

use std::time::Instant;

use anyhow::Result;

use super::Table;
use crate::contender::Shibudb;
use crate::dialogue::Dialogue;
use crate::figures::{Unit, millis, number};
use crate::language::Language;
use crate::rounds::Scale;
use crate::rows::ready;
use crate::usage::resident;

pub(super) fn measure(scale: &Scale) -> Result<Table> {
    let mut sizes = if scale.quick { vec![10_000, 100_000] } else { vec![10_000, 1_000_000] };
    if scale.large {
        sizes.push(10_000_000);
    }
    let mut table = Table::new(["keys", "written at", "resident then", "answers after", "resident then"]);
    for keys in sizes {
        let server = Shibudb { durability: "1s", ..Shibudb::default() }.start()?;
        let mut dialogue = Dialogue::open(server.address(), Language::Shibudb, 64)?;
        let begin = Instant::now();
        dialogue.fill(keys)?;
        let rate = keys as f64 / begin.elapsed().as_secs_f64();
        let written = resident(server.pid())?;
        drop(dialogue);
        let again = ready::shibudb(server.stop()?)?;
        table.line([
            number(keys as f64),
            Unit::PerSecond.render(rate),
            Unit::Bytes.render(written),
            Unit::Milliseconds.render(millis(again.answers)),
            Unit::Bytes.render(resident(again.server.pid())?),
        ]);
    }
    Ok(table)
}
