//! The requests of a connection that are answered and not yet counted.
//!
//! They are counted together when their answers are handed to the kernel, with one reading of the clock for all that
//! arrived together. The duration of each begins when the worker learnt of its input: it includes waits for other
//! requests, but not for its client or the network.

use std::time::Instant;

use crate::protocol::RequestKind;

use super::counters::{Answered, Recorder, RequestOutcome};

/// Requests of one connection to count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: Vec<Answered>,
    /// How many of them, the last ones, are unanswered, because work for them is under way elsewhere.
    open: usize,
}

impl Tally {
    /// A request is answered. No other may be open.
    pub(super) fn answer(&mut self, kind: RequestKind, outcome: RequestOutcome) {
        self.answered.push(Answered { kind, outcome });
    }

    /// A request will be answered by [`Tally::close`].
    pub(super) fn open(&mut self, kind: RequestKind) {
        self.open += 1;
        self.answered.push(Answered { kind, outcome: RequestOutcome::Ok });
    }

    /// The first open request is answered.
    pub(super) fn close(&mut self, outcome: RequestOutcome) {
        let first = self.answered.len() - self.open;
        if let Some(request) = self.answered.get_mut(first) {
            request.outcome = outcome;
            self.open -= 1;
        }
    }

    /// The last `requests` open ones will be opened again.
    pub(super) fn withdraw(&mut self, requests: usize) {
        let requests = requests.min(self.open);
        self.answered.truncate(self.answered.len() - requests);
        self.open -= requests;
    }

    /// All are answered, and the answers are under way. The worker knew of the input since `since`.
    pub(super) fn count(&mut self, recorder: &mut Recorder, since: Option<Instant>) {
        if !self.answered.is_empty() {
            let took = since.map_or_else(Default::default, |since| since.elapsed());
            recorder.requests(&self.answered, took);
            self.answered.clear();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.answered.clear();
        self.open = 0;
    }

    /// The bytes that it takes.
    pub(super) fn held(&self) -> usize {
        self.answered.capacity() * size_of::<Answered>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::counters::RequestCounters;

    #[test]
    fn open_requests_are_answered_in_their_order() {
        let counters = RequestCounters::default();
        let mut tally = Tally::default();
        let since = Some(Instant::now());
        tally.answer(RequestKind::Get, RequestOutcome::NotFound);
        tally.open(RequestKind::Put);
        tally.open(RequestKind::Delete);
        tally.close(RequestOutcome::Ok);
        tally.close(RequestOutcome::NotFound);
        tally.close(RequestOutcome::Error);
        let mut recorder = counters.recorder();
        tally.count(&mut recorder, since);
        tally.count(&mut recorder, since);
        let counted: Vec<_> = counters
            .read()
            .requests
            .into_iter()
            .filter(|timing| timing.count() > 0)
            .map(|timing| (timing.of.kind, timing.of.outcome, timing.count()))
            .collect();
        let (ok, not_found) = (RequestOutcome::Ok, RequestOutcome::NotFound);
        let expected = [
            (RequestKind::Get, not_found, 1),
            (RequestKind::Put, ok, 1),
            (RequestKind::Delete, not_found, 1),
        ];
        assert_eq!(counted, expected, "each once");
    }
}
