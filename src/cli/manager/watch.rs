//! `manager watch`: the state of the server, second by second, until the user quits.
//!
//! On a terminal it is a [`view`] that takes keys; anywhere else it writes one line a second ([`run`]).
//! Like every other command it only uses the API: once a second, and for a change when one is confirmed.

mod draw;
mod look;
mod plot;
mod state;
mod view;

use std::io::{self, IsTerminal as _};

use futures_util::StreamExt as _;

use super::ManagerError;
use super::api::Api;
use crate::cli::colours;
use crate::logging::{self, Priority};
use look::{Sample, looks};

/// Watches until the reader closes the output, or on a terminal until the user quits. The view shows `name` as the
/// name of the server: its address as the user typed it.
///
/// # Errors
/// The first query was not answered, or standard output cannot be written to.
pub(super) async fn run(
    api: &Api,
    name: &str,
    json: bool,
    out: &mut impl io::Write,
) -> Result<(), ManagerError> {
    // A wrong port is better reported as an error than shown as an empty view.
    let mut looks = Box::pin(looks(api));
    let first = looks.next().await.transpose()?;
    if !json && io::stdout().is_terminal() {
        return view::run(api, name, first, looks).await.map_err(ManagerError::Terminal);
    }
    let mut looks = futures_util::stream::iter(first.map(Ok)).chain(looks);
    let mut told: Option<Sample> = None;
    let mut trouble = None;
    while let Some(look) = looks.next().await {
        match look {
            Ok(look) => {
                let new = new(&look.samples, told);
                match tell(out, json, &look.samples, new) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    told => told.map_err(ManagerError::Output)?,
                }
                told = look.samples.last().copied().or(told);
                trouble = None;
            }
            // The server may come back. Until then this is reported once, apart from the data.
            Err(error) => {
                let error = error.to_string();
                if trouble.as_ref() != Some(&error) {
                    logging::write(Priority::Error, colours::error(&error)).ok();
                }
                trouble = Some(error);
            }
        }
    }
    Ok(())
}

/// Where the samples begin that have not been printed yet: the server takes them by its own clock, so
/// between two queries there may be none, or two. If the last one printed is gone, none is made up for.
fn new(samples: &[Sample], told: Option<Sample>) -> usize {
    match told.and_then(|told| samples.iter().rposition(|sample| *sample == told)) {
        Some(told) => told + 1,
        None => samples.len().saturating_sub(1),
    }
}

/// Writes a line for each of the samples from `from` on.
fn tell(out: &mut impl io::Write, json: bool, samples: &[Sample], from: usize) -> io::Result<()> {
    for (at, sample) in samples.iter().enumerate().skip(from) {
        if json {
            serde_json::to_writer(&mut *out, sample)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", line(sample, samples.get(..=at).unwrap_or_default()))?;
        }
    }
    out.flush()
}

fn line(sample: &Sample, samples: &[Sample]) -> String {
    let Sample { active, limit, .. } = sample;
    let rates = look::rates(samples);
    format!(
        "{}  active {active}  limit {limit}  usage {:.1}%  accepted {:.1}/s  rejected {:.1}/s",
        super::lines::local(sample.time),
        sample.usage(),
        rates.accepted,
        rates.rejected,
    )
}
