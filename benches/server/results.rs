//! RESULTS.md: new measurements replace old ones; text written by people stays.
//!
//! Each row is in a section of its own between two comments, so that one row can be measured again by itself. The
//! overview keeps its lines for rows that were not measured.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::machine;
use crate::report::table;
use crate::rows::Row;
use crate::targets::{TARGETS, Verdict};

const OVERVIEW: [&str; 5] = ["row", "what", "to be", "measured", ""];

/// The page, and whether to write it.
pub(crate) struct Results {
    path: PathBuf,
    text: String,
    write: bool,
    /// Lines of the overview that are new.
    overview: Vec<Vec<String>>,
}

impl Results {
    pub(crate) fn open(write: bool) -> Result<Self> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, text, write, overview: Vec::new() })
    }

    /// Adds a row, and prints it.
    pub(crate) fn row(&mut self, row: &Row, text: &str, verdicts: &[Verdict]) -> Result<()> {
        println!("{text}");
        self.put(row.name, text);
        self.overview.extend(verdicts.iter().map(|verdict| {
            let Verdict { what, wanted, measured, verdict } = verdict.clone();
            vec![row.name.to_owned(), what, wanted, measured, verdict.to_owned()]
        }));
        let overview = table(OVERVIEW, self.whole_overview());
        self.put("overview", &overview);
        self.save()
    }

    /// Adds a table, and prints it.
    pub(crate) fn table(&mut self, name: &str, text: &str) -> Result<()> {
        println!("{text}");
        self.put(name, text);
        self.save()
    }

    /// Prints the overview of what was measured.
    pub(crate) fn close(self) {
        if !self.overview.is_empty() {
            println!("{}", table(OVERVIEW, self.overview));
        }
        if self.write {
            println!("Written to benches/RESULTS.md.");
        }
    }

    /// Writes the page with the results so far: a long run may be interrupted.
    fn save(&mut self) -> Result<()> {
        self.put("machine", &format!("{}.\n", machine::describe()));
        if self.write {
            fs::write(&self.path, &self.text)
                .with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        Ok(())
    }

    /// The new lines, and the old ones of rows that are not among them, in the order of the rows.
    fn whole_overview(&self) -> Vec<Vec<String>> {
        let place = |line: &[String]| {
            TARGETS.iter().position(|target| Some(target.row) == line.first().map(String::as_str))
        };
        let old = self.block("overview").unwrap_or_default().lines().map(|line| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        });
        let is_new = |line: &[String]| self.overview.iter().any(|new| new.first() == line.first());
        // The heading lines of the old table are not rows, and so have no place.
        let mut lines: Vec<_> = old.filter(|line| place(line).is_some() && !is_new(line)).collect();
        lines.extend(self.overview.iter().cloned());
        lines.sort_by_key(|line| place(line));
        lines
    }

    fn block(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&begin(name))?;
        rest.split_once(&end(name)).map(|(block, _)| block)
    }

    /// Replaces the text between the two comments of this name; without them, it goes to the end.
    fn put(&mut self, name: &str, block: &str) {
        let (begin, end) = (begin(name), end(name));
        let (before, after) = match self.text.split_once(&begin) {
            Some((before, rest)) => (before, rest.split_once(&end).map_or("", |(_, after)| after)),
            None => (self.text.as_str(), "\n"),
        };
        self.text = format!("{before}{begin}{block}{end}{after}");
    }
}

fn begin(name: &str) -> String {
    format!("<!-- {name} -->\n")
}

fn end(name: &str) -> String {
    format!("<!-- end of {name} -->")
}
