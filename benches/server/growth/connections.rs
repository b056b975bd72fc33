//! Memory of idle connections, by their number.

use anyhow::Result;

use super::Table;
use crate::contender::Shibudb;
use crate::figures::{Unit, number};
use crate::language::{Greeting, Language};
use crate::rounds::Scale;
use crate::rows::idle::Memory;

pub(super) fn measure(scale: &Scale) -> Result<Table> {
    let mut table =
        Table::new(["connections", "silent, each", "still held", "logged in, each", "still held"]);
    for connections in [1000, 5000, 15_000].map(|connections| scale.connections(connections)) {
        let mut cells =
            [number(connections as f64), String::new(), String::new(), String::new(), String::new()];
        for (column, greeting) in [(1, Greeting::SILENCE), (3, Language::Shibudb.greeting())] {
            let server = Shibudb { limit: connections + 100, ..Shibudb::default() }.start()?;
            let memory = Memory::of(&server, connections, greeting)?;
            cells[column] = Unit::Bytes.render(memory.of_each());
            cells[column + 1] = Unit::Percent.render(memory.kept());
        }
        table.line(cells);
    }
    Ok(table)
}
