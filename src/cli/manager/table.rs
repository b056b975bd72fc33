//! Tables without borders, which grep can read as well; in colour whole rows at a time.

use anstyle::Style;
use comfy_table::{Cell, Row, Table, presets};

use crate::cli::colours::{Colours, HEADING};

/// A table under construction.
pub(super) struct Rows {
    table: Table,
    /// For each row, including the heading: its style, and how many lines it takes.
    rows: Vec<(Style, usize)>,
}

impl Rows {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { table, rows: vec![(HEADING, 1)] }
    }

    pub(super) fn add<const N: usize>(&mut self, style: Style, cells: [Cell; N]) {
        let lines = cells.iter().map(|cell| cell.content().split('\n').count()).max();
        self.rows.push((style, lines.unwrap_or(1)));
        self.table.add_row(Row::from(cells));
    }

    /// The lines. Their styles come last: the table would count them as text.
    pub(super) fn text(&self, colours: Colours) -> String {
        let styles = self.rows.iter().flat_map(|&(style, lines)| std::iter::repeat_n(style, lines));
        let styles = styles.chain(std::iter::repeat(Style::new()));
        let painted = |(line, style): (String, Style)| colours.paint(style, line.trim_end()) + "\n";
        self.table.lines().zip(styles).map(painted).collect()
    }
}
