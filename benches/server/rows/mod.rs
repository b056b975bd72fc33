//! The measurements, a row each. Rows run one after another, and the lanes of each in turns.

pub(crate) mod idle;
pub(crate) mod limiter;
pub(crate) mod listing;
pub(crate) mod management;
mod manager;
pub(crate) mod ready;
mod requests;
pub(crate) mod short;
pub(crate) mod starvation;

use anyhow::{Result, bail};

use crate::report;
use crate::results::Results;
use crate::rounds::{Measured, Scale};

/// One row.
pub(crate) struct Row {
    /// For `--only`, and for the sections of RESULTS.md.
    pub(crate) name: &'static str,
    /// A title for people.
    pub(crate) title: &'static str,
    measure: fn(&Scale) -> Result<Measured>,
}

const ROWS: &[Row] = &[
    Row { name: "rejections", title: "Rejections at the limit, 64 at a time", measure: short::rejections },
    Row {
        name: "rejected-logins",
        title: "Rejections at the limit, clients send their login at once",
        measure: short::rejected_logins,
    },
    Row {
        name: "bad-lines",
        title: "Connect, one bad line, error reply, close; 64 at a time",
        measure: short::bad_lines,
    },
    Row {
        name: "listing",
        title: "The same while 10,000 connections are held, and all of them are listed once a second",
        measure: listing::measure,
    },
    Row { name: "logins", title: "Logins of a known user, 64 at a time", measure: short::logins },
    Row { name: "gets", title: "GET, 64 connections, values of 100 bytes", measure: requests::gets },
    Row { name: "puts", title: "PUT, durable, 64 connections", measure: requests::puts },
    Row { name: "puts-1s", title: "PUT, synced once a second, 64 connections", measure: requests::puts_1s },
    Row {
        name: "idle",
        title: "Memory for an idle connection, 15,000 held, closed and held again",
        measure: idle::measure,
    },
    Row { name: "ready", title: "From exec until it answers, empty store", measure: ready::measure },
    Row {
        name: "management",
        title: "GET /stats, kept alive; and with 5,000 idle connections and 2,000 new ones a second",
        measure: management::stats,
    },
    Row {
        name: "set-limit",
        title: "PUT /limit: answered, in force and stored",
        measure: management::set_limit,
    },
    Row {
        name: "starvation",
        title: "PUT and GET of one client beside hostile ones of every kind",
        measure: starvation::measure,
    },
    Row { name: "manager", title: "`shibudb manager PORT stats`, whole process", measure: manager::measure },
    Row { name: "limiter", title: "Acquire and release, from `--bench limiter`", measure: limiter::read },
];

/// Measures all rows, or the named ones. Returns those that could not be measured.
pub(crate) fn measure(scale: &Scale, only: &[String], results: &mut Results) -> Result<Vec<&'static str>> {
    if let Some(unknown) = only.iter().find(|name| ROWS.iter().all(|row| row.name != name.as_str())) {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        bail!("there is no row \"{unknown}\": expected one of {}", names.join(", "));
    }
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| only.is_empty() || only.iter().any(|name| name == row.name)) {
        eprintln!("{}", row.title);
        match (row.measure)(scale) {
            Ok(measured) => {
                results.row(row, &report::row(row, &measured), &report::verdicts(row, &measured))?;
            }
            // The other rows are still useful.
            Err(error) => {
                eprintln!("{} could not be measured: {error:#}\n", row.name);
                failed.push(row.name);
            }
        }
    }
    Ok(failed)
}
