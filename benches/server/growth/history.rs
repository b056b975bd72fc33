//! The history of the limit: does a change cost more when there were many before it?

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Table;
use crate::contender::Shibudb;
use crate::figures::{Unit, latencies, micros, millis, number, record};
use crate::http::Http;
use crate::rounds::Scale;
use crate::rows::ready;
use crate::usage::resident;

/// How many of the last ones the reported latency covers.
const LAST: u64 = 100;

pub(super) fn measure(scale: &Scale) -> Result<Table> {
    let mut table = Table::new([
        "changes",
        "the last 100, p50",
        "GET /history?limit=1000",
        "resident",
        "then answers after",
        "resident then",
    ]);
    let mut home = None;
    let mut done = 0;
    for size in [LAST, scale.count(10_000) / 2, scale.count(10_000)] {
        let server = match home.take() {
            None => Shibudb::default().start()?,
            Some(home) => Shibudb::default().start_in(home)?,
        };
        let mut http = Http::open(server.management())?;
        let mut last = latencies();
        for number in done..size {
            let begin = Instant::now();
            http.set_limit(1000 + number as usize % 2)?;
            if number + LAST >= size {
                record(&mut last, begin.elapsed());
            }
        }
        done = size;
        let begin = Instant::now();
        http.get("/history?limit=1000")?;
        let read = begin.elapsed();
        drop(http);
        let before = resident(server.pid())?;
        let again = ready::shibudb(server.stop()?)?;
        let after = resident(again.server.pid())?;
        home = Some(again.server.stop()?);
        table.line([
            number(size as f64),
            Unit::Microseconds.render(micros(Duration::from_nanos(last.value_at_quantile(0.5)))),
            Unit::Microseconds.render(micros(read)),
            Unit::Bytes.render(before),
            Unit::Milliseconds.render(millis(again.answers)),
            Unit::Bytes.render(after),
        ]);
    }
    Ok(table)
}
