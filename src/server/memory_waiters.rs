//! Connections that there was no memory for, until there is some.
//!
//! They are tried again only when one may go on: whoever asks for [the next](MemoryWaiters::next) gets none as long
//! as all memory is spent and somebody is overdrawn, however many wait. One that is heard of meanwhile is given
//! its turn all the same, since its request may have come in whole.

use std::collections::VecDeque;

use super::budget::{Budget, Room};
use super::mailbox::Token;

/// As long as fewer of those that are queued are gone, they are left there.
const FEW: usize = 64;

/// Connections that wait for memory, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct MemoryWaiters {
    /// Those that have begun a request. They come first: completing it gives back what it holds.
    begun: VecDeque<Token>,
    others: VecDeque<Token>,
    /// Those that have not logged in, whose memory is another.
    guests: VecDeque<Token>,
    /// How many of them are gone.
    gone: usize,
}

/// In which queue a connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaiterKind {
    Begun,
    Other,
    Guest,
}

impl MemoryWaiters {
    /// Has a connection wait.
    pub(super) fn push(&mut self, token: Token, kind: WaiterKind) {
        let queue = match kind {
            WaiterKind::Begun => &mut self.begun,
            WaiterKind::Other => &mut self.others,
            WaiterKind::Guest => &mut self.guests,
        };
        queue.push_back(token);
    }

    /// The next that may go on.
    pub(super) fn next(&mut self, budget: &Budget, room: Room) -> Option<Token> {
        if budget.has_room(room, true)
            && let Some(guest) = self.guests.pop_front()
        {
            return Some(guest);
        }
        if budget.has_room(room, false) {
            self.begun.pop_front().or_else(|| self.others.pop_front())
        } else if budget.has_no_overdraft() {
            self.begun.pop_front()
        } else {
            None
        }
    }

    /// One that waits is gone. `is_there` says of each whether it is not.
    pub(super) fn forget(&mut self, is_there: impl Fn(Token) -> bool) {
        self.gone += 1;
        if self.gone > FEW && self.gone > self.len() / 2 {
            for queue in [&mut self.begun, &mut self.others, &mut self.guests] {
                queue.retain(|token| is_there(*token));
            }
            self.gone = 0;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.others.len() + self.guests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Charge, Grant};
    use super::*;

    const ROOM: Room = Room { free: 100, with_reserve: 120, guests: 10 };

    fn token(number: usize) -> Token {
        Token::new(number, number as u64).unwrap()
    }

    #[test]
    fn nobody_is_tried_who_may_not_go_on() {
        let budget = Budget::default();
        let mut memory_waiters = MemoryWaiters::default();
        for number in 1..=3 {
            memory_waiters.push(token(number), WaiterKind::Other);
        }
        memory_waiters.push(token(4), WaiterKind::Begun);
        memory_waiters.push(token(5), WaiterKind::Begun);

        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(memory_waiters.next(&budget, ROOM), Some(token(4)), "nobody is overdrawn");
        assert_eq!(budget.grant(ROOM, 4, false, true), Grant::All);
        assert_eq!(memory_waiters.next(&budget, ROOM), None, "4 is");
        budget.end_overdraft(4);
        assert_eq!(memory_waiters.next(&budget, ROOM), Some(token(5)));
        assert_eq!(memory_waiters.next(&budget, ROOM), None, "the others have nothing to complete");
        assert_eq!(memory_waiters.len(), 3);

        budget.recharge(Charge::user(100), Charge::user(99));
        assert_eq!(memory_waiters.next(&budget, ROOM), Some(token(1)));
        budget.recharge(Charge::user(99), Charge::user(100));
        assert_eq!(memory_waiters.next(&budget, ROOM), None, "it has taken what there was");
        budget.recharge(Charge::user(100), Charge::user(99));
        memory_waiters.push(token(6), WaiterKind::Begun);
        let rest: Vec<_> = std::iter::from_fn(|| memory_waiters.next(&budget, ROOM)).collect();
        assert_eq!(rest, [token(6), token(2), token(3)]);
        assert!(memory_waiters.is_empty());
    }

    #[test]
    fn guests_wait_for_memory_of_their_own() {
        let budget = Budget::default();
        let mut memory_waiters = MemoryWaiters::default();
        memory_waiters.push(token(1), WaiterKind::Guest);
        memory_waiters.push(token(2), WaiterKind::Other);
        budget.recharge(Charge::default(), Charge { bytes: 10, is_guest: true });
        assert_eq!(memory_waiters.next(&budget, ROOM), Some(token(2)));
        assert_eq!(memory_waiters.next(&budget, ROOM), None);
        budget.recharge(Charge { bytes: 10, is_guest: true }, Charge::default());
        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(memory_waiters.next(&budget, ROOM), Some(token(1)));
    }

    #[test]
    fn those_that_are_gone_do_not_pile_up() {
        let mut memory_waiters = MemoryWaiters::default();
        for number in 1..1000 {
            memory_waiters.push(token(number), WaiterKind::Other);
            memory_waiters.forget(|_| false);
        }
        assert!(memory_waiters.len() <= 2 * FEW + 1, "{}", memory_waiters.len());
    }
}
