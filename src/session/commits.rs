//! The writes of one turn of a worker's loop, which go to the store together.
//!
//! One submission a turn, from all connections: the committer is woken once and finds all writes, so that one sync
//! serves them all, and the answers come back as one message.

use crate::net::{Outbox, Token};
use crate::store::{Outcome, Store, StoreError, Write};

use super::Session;

/// Beyond this many bytes a turn's writes go to the store before the turn is over.
const MOST_BYTES: usize = 1 << 20;

/// Writes to submit.
#[derive(Debug, Default)]
pub(super) struct Commits {
    writes: Vec<Write>,
    bytes: usize,
    /// The owners of the writes, and how many each has, in order.
    owners: Vec<(Token, usize)>,
}

/// The outcome of the writes of one turn.
#[derive(Debug)]
pub struct Committed {
    result: Result<Vec<Outcome>, StoreError>,
    owners: Vec<(Token, usize)>,
}

impl Commits {
    /// Takes over the writes of one connection, and returns their bytes.
    pub(super) fn collect(&mut self, token: Token, writes: &mut Vec<Write>) -> usize {
        let bytes =
            writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len)).sum();
        self.owners.push((token, writes.len()));
        self.writes.append(writes);
        self.bytes += bytes;
        bytes
    }

    /// Whether there are so many bytes that it should be submitted at once.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    /// Submits the collected writes. The outcomes come as one batch.
    pub(super) fn submit(&mut self, store: &Store, outbox: &Outbox<Session>) {
        if self.owners.is_empty() {
            return;
        }
        // The next turn will probably have as many.
        let another = Self {
            writes: Vec::with_capacity(self.writes.len()),
            bytes: 0,
            owners: Vec::with_capacity(self.owners.len()),
        };
        let Self { writes, owners, .. } = std::mem::replace(self, another);
        let outbox = outbox.clone();
        store.submit(writes, move |result| outbox.send(Committed { result, owners }));
    }
}

impl Committed {
    /// The outcomes for each connection.
    pub(super) fn shares(&self) -> impl Iterator<Item = (Token, Result<&[Outcome], &StoreError>)> {
        let mut rest = self.result.as_deref();
        self.owners.iter().map(move |&(token, writes)| {
            let share = rest.map(|outcomes| {
                // There is one outcome for each write.
                let (share, others) = outcomes.split_at_checked(writes).unwrap_or((outcomes, &[]));
                rest = Ok(others);
                share
            });
            (token, share)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Vec<(Token, usize)> {
        [(1, 2), (2, 0), (3, 1)].map(|(index, writes)| (Token::new(index, 7).unwrap(), writes)).into()
    }

    #[test]
    fn everybody_gets_the_outcomes_of_its_own_writes() {
        let result = Ok(vec![Outcome::Stored, Outcome::Deleted, Outcome::NotFound]);
        let committed = Committed { result, owners: owners() };
        let token = |index| Token::new(index, 7).unwrap();
        let shares: Vec<_> = committed.shares().map(|(token, share)| (token, share.unwrap())).collect();
        assert_eq!(
            shares,
            [
                (token(1), &[Outcome::Stored, Outcome::Deleted][..]),
                (token(2), &[]),
                (token(3), &[Outcome::NotFound])
            ]
        );
    }

    #[test]
    fn a_failure_is_everybodys() {
        let committed = Committed { result: Err(StoreError::Closed), owners: owners() };
        assert_eq!(committed.shares().filter(|(_, share)| share.is_err()).count(), 3);
    }
}
