//! Cost against size: nothing may grow faster than the work.

mod connections;
mod history;
mod keys;
mod requests;
mod spaces;

use anyhow::{Result, bail};

use crate::machine;
use crate::report;
use crate::results::Results;
use crate::rounds::Scale;

/// One table.
struct Growth {
    /// For `--only`.
    name: &'static str,
    title: &'static str,
    measure: fn(&Scale) -> Result<Table>,
}

/// A line for each size.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    lines: Vec<Vec<String>>,
}

const TABLES: &[Growth] = &[
    Growth { name: "connections", title: "Memory of idle connections", measure: connections::measure },
    Growth { name: "get-connections", title: "GET, by connections", measure: requests::gets },
    Growth { name: "put-connections", title: "PUT, durable, by connections", measure: requests::puts },
    Growth {
        name: "mixed",
        title: "Nine GETs to one durable PUT, 64 connections: the worst of all latencies",
        measure: requests::mixed,
    },
    Growth { name: "keys", title: "Start and memory, by keys of 100 bytes", measure: keys::measure },
    Growth { name: "history", title: "Changes of the limit", measure: history::measure },
    Growth { name: "spaces", title: "Spaces", measure: spaces::measure },
];

impl Table {
    pub(crate) fn new<const N: usize>(columns: [&'static str; N]) -> Self {
        Self { columns: columns.to_vec(), lines: Vec::new() }
    }

    pub(crate) fn line<const N: usize>(&mut self, cells: [String; N]) {
        eprintln!("  {}", cells.join("  "));
        self.lines.push(cells.to_vec());
    }
}

/// Measures all tables, or the named ones. Returns those that could not be measured.
pub(crate) fn measure(scale: &Scale, only: &[String], results: &mut Results) -> Result<Vec<&'static str>> {
    if let Some(unknown) = only.iter().find(|name| TABLES.iter().all(|table| table.name != name.as_str())) {
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        bail!("there is no table \"{unknown}\": expected one of {}", names.join(", "));
    }
    let mut failed = Vec::new();
    for growth in TABLES.iter().filter(|table| only.is_empty() || only.iter().any(|name| name == table.name))
    {
        eprintln!("{}", growth.title);
        match (growth.measure)(scale) {
            Ok(Table { columns, lines }) => {
                let table = report::table(columns, lines);
                let text = format!("### {}\n\n{table}\n{}\n", growth.title, machine::when());
                results.table(&format!("growth-{}", growth.name), &text)?;
            }
            Err(error) => {
                eprintln!("{} could not be measured: {error:#}\n", growth.name);
                failed.push(growth.name);
            }
        }
    }
    Ok(failed)
}
