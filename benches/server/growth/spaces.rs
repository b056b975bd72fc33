//! Many spaces: making one more, listing them, starting with them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Table;
use crate::contender::Shibudb;
use crate::crowd::Conversation;
use crate::figures::{Unit, latencies, micros, millis, number, record};
use crate::rounds::Scale;
use crate::rows::ready;
use crate::usage::resident;

/// How many of the last ones the reported latency covers.
const LAST: u64 = 100;

pub(super) fn measure(scale: &Scale) -> Result<Table> {
    let mut table = Table::new([
        "spaces",
        "the last 100, p50",
        "LIST_SPACES",
        "resident",
        "then answers after",
        "resident then",
    ]);
    for size in [LAST, scale.count(10_000) / 2, scale.count(10_000)] {
        let server = Shibudb::default().start()?;
        let mut conversation = Conversation::open(server.address())?;
        let mut last = latencies();
        for number in 0..size {
            let begin = Instant::now();
            let request = format!("{{\"type\":\"CREATE_SPACE\",\"space\":\"space{number}\"}}\n");
            let answer = conversation.ask(&request)?;
            ensure!(answer.contains("SPACE_CREATED"), "CREATE_SPACE was answered with {answer}");
            if number + LAST >= size {
                record(&mut last, begin.elapsed());
            }
        }
        let begin = Instant::now();
        conversation.ask("{\"type\":\"LIST_SPACES\"}\n")?;
        let listed = begin.elapsed();
        drop(conversation);
        let before = resident(server.pid())?;
        let again = ready::shibudb(server.stop()?)?;
        table.line([
            number(size as f64),
            Unit::Microseconds.render(micros(Duration::from_nanos(last.value_at_quantile(0.5)))),
            Unit::Microseconds.render(micros(listed)),
            Unit::Bytes.render(before),
            Unit::Milliseconds.render(millis(again.answers)),
            Unit::Bytes.render(resident(again.server.pid())?),
        ]);
    }
    Ok(table)
}
