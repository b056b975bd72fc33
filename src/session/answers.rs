//! The answers to completed reads and writes.

use crate::protocol::{Done, Refusal, Reply};
use crate::store::{Found, MAX_KEY_LEN, Outcome, StoreError};

use super::counters::RequestOutcome;
use super::tally::Tally;

/// Appends the answers to reads: one for each, in order.
pub(super) fn answer_reads(found: &[Found], output: &mut Vec<u8>, tally: &mut Tally) {
    for found in found {
        let reply = match found {
            Ok(Some(value)) => Ok(Reply::Value(value)),
            Ok(None) => Err(Refusal::KeyNotFound),
            Err(error) => Err(refusal(error)),
        };
        tally.close(reply.as_ref().map_or_else(RequestOutcome::from, |_| RequestOutcome::Ok));
        reply.unwrap_or_else(Reply::Refused).render(output);
    }
}

/// Appends the answers to submitted writes: one for each, in order.
pub(super) fn answer_writes(
    committed: Result<&[Outcome], &StoreError>,
    writes: usize,
    output: &mut Vec<u8>,
    tally: &mut Tally,
) {
    let mut answer = |outcome: Result<Done, Refusal>| {
        tally.close(outcome.as_ref().map_or_else(RequestOutcome::from, |_| RequestOutcome::Ok));
        outcome.map_or_else(Reply::Refused, Reply::Done).render(output);
    };
    match committed {
        Ok(outcomes) => outcomes.iter().for_each(|&outcome| answer(done(outcome))),
        Err(error) => (0..writes).for_each(|_| answer(Err(refusal(error)))),
    }
}

fn done(outcome: Outcome) -> Result<Done, Refusal> {
    match outcome {
        Outcome::Stored => Ok(Done::Stored),
        Outcome::Deleted => Ok(Done::Deleted),
        Outcome::NotFound => Err(Refusal::KeyNotFound),
        Outcome::NoSuchSpace => Err(Refusal::SpaceNotFound),
        Outcome::KeyTooLong => Err(Refusal::KeyTooLong { limit: MAX_KEY_LEN }),
    }
}

/// The client's answer when the store failed.
pub(super) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::NoSuchSpace => Refusal::SpaceNotFound,
        other => Refusal::Other(other.to_string()),
    }
}
