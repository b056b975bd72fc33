//! The results, as tables for a terminal and for a page.

use crate::machine;
use crate::rounds::Measured;
use crate::rows::Row;
use crate::targets::{TARGETS, Verdict};

/// A row as a table: a line for each server, a column for each figure, then the targets.
pub(crate) fn row(row: &Row, measured: &Measured) -> String {
    let figures = measured.figures();
    let columns = std::iter::once("").chain(figures.iter().map(|figure| figure.name));
    let lines = measured.lanes.iter().map(|(lane, _)| {
        let cell = |figure: &crate::figures::Figure| {
            let spread = measured.spread(lane, *figure);
            spread.map_or_else(|| "-".to_owned(), |spread| spread.show(figure.unit))
        };
        std::iter::once((*lane).to_owned()).chain(figures.iter().map(cell)).collect()
    });
    let mut text = format!("### {}\n\n{}", row.title, table(columns, lines));
    let verdicts = verdicts(row, measured);
    if !verdicts.is_empty() {
        text.push('\n');
    }
    for Verdict { what, wanted, measured, verdict } in verdicts {
        text.push_str(&format!("- {what}: {measured}; to be {wanted}: {verdict}\n"));
    }
    let rounds = measured.count();
    let rounds = if rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
    text.push_str(&format!("\n{}; {rounds}", machine::when()));
    if let Some(others) = measured.others() {
        text.push_str(&format!("; something else used {:.0} % of the machine", others.median * 100.0));
    }
    text.push('\n');
    text
}

/// The targets of a row, and whether they are reached.
pub(crate) fn verdicts(row: &Row, measured: &Measured) -> Vec<Verdict> {
    let targets = TARGETS.iter().filter(|target| target.row == row.name);
    targets.filter_map(|target| target.judge(measured)).collect()
}

/// A table in Markdown, its columns aligned for readers of the plain text.
pub(crate) fn table<'a>(
    columns: impl IntoIterator<Item = &'a str>,
    lines: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut all: Vec<Vec<String>> = vec![columns.into_iter().map(str::to_owned).collect()];
    all.extend(lines);
    let width = |column| {
        let cells = all.iter().filter_map(|line: &Vec<String>| line.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..all[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in all.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
            text.push_str("|\n");
        }
    }
    text
}
