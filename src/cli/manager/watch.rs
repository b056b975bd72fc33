//! `manager watch`: what goes on, second by second, until somebody has seen enough.
//!
//! On a terminal it is a [view](view) that takes keys; anywhere else it is one [line](run) a second.
//! Like every other command it only asks the API: once a second, and for a change when one is confirmed.

mod draw;
mod look;
mod state;
mod view;

use std::io::{self, IsTerminal as _};

use futures_util::StreamExt as _;

use super::ManagerError;
use super::api::Api;
use look::{Sample, looks};

/// Watches until the reader has gone away, or on a terminal until it is told to leave.
///
/// # Errors
/// The first question was not answered, or standard output cannot be written to.
pub(super) async fn run(api: &Api, json: bool, out: &mut impl io::Write) -> Result<(), ManagerError> {
    // A wrong port is better told as an error than shown as a view of nothing.
    let mut looks = Box::pin(looks(api));
    let first = looks.next().await.transpose()?;
    if !json && io::stdout().is_terminal() {
        return view::run(api, first, looks).await.map_err(ManagerError::Terminal);
    }
    let mut looks = futures_util::stream::iter(first.map(Ok)).chain(looks);
    let mut trouble = None;
    while let Some(look) = looks.next().await {
        let line = match look {
            Ok(look) => match look.samples.last() {
                Some(sample) if json => {
                    serde_json::to_string(sample).map_err(|error| ManagerError::Output(error.into()))?
                }
                Some(sample) => line(sample, &look.samples),
                None => continue,
            },
            // The server may come back. Until then it is said once, where it is in nobody's data.
            Err(error) => {
                let error = error.to_string();
                if trouble.as_ref() != Some(&error) {
                    anstream::eprintln!("Error: {error}");
                }
                trouble = Some(error);
                continue;
            }
        };
        trouble = None;
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(ManagerError::Output)?,
        }
    }
    Ok(())
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
