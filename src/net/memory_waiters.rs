//! Connections that wait for memory.
//!
//! They are retried only when one may go on: [`MemoryWaiters::next`] returns none as long as all memory is spent and a
//! connection is overdrawn, however many wait. A connection whose socket becomes readable meanwhile gets its turn all
//! the same, since its request may have arrived completely.
//!
//! A connection whose input was not checked, because the reserve was spent too, waits in front of those that have begun
//! a request. Otherwise clients that begin requests again and again would delay complete small ones without limit.

use std::collections::VecDeque;

use super::budget::{Budget, Share};
use super::settings::Room;
use super::token::Token;

/// While fewer of the queued connections are gone, they stay in the queues.
const FEW: usize = 64;

/// Connections that wait for memory, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct MemoryWaiters {
    /// Connections whose input was not checked: a request may have arrived completely.
    unseen: VecDeque<Token>,
    /// Connections that have begun a request. They come before the others: completing it frees what it holds.
    begun: VecDeque<Token>,
    /// Connections with a part of a request in the socket, of which nothing was read.
    others: VecDeque<Token>,
    /// Connections that have not logged in, whose memory is separate.
    guests: VecDeque<Token>,
    /// How many of them are gone.
    gone: usize,
}

/// The queue in which a connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaiterKind {
    Unseen,
    Begun,
    Other,
    Guest,
}

/// The queues that one connection waits in. While it waits in one, its socket may become readable, and its turn may end
/// in another one as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queues(u8);

impl Queues {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn with(self, kind: WaiterKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    pub(super) fn without(self, kind: WaiterKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// Adds queues, and returns those that are new.
    pub(super) fn add(&mut self, others: Self) -> Self {
        let new = Self(others.0 & !self.0);
        self.0 |= others.0;
        new
    }

    fn contains(self, kind: WaiterKind) -> bool {
        self.with(kind) == self
    }
}

impl MemoryWaiters {
    /// Adds a connection to these queues.
    pub(super) fn push(&mut self, token: Token, queues: Queues) {
        for (queue, kind) in self.queues() {
            if queues.contains(kind) {
                queue.push_back(token);
            }
        }
    }

    /// The next connection that may go on.
    pub(super) fn next(&mut self, budget: &Budget, room: Room) -> Option<(Token, WaiterKind)> {
        let has_room = budget.has_room(room, Share::Users);
        let may_go_on = |kind| match kind {
            WaiterKind::Guest => budget.has_room(room, Share::Guests),
            WaiterKind::Unseen => has_room || budget.has_room(room, Share::Reserve),
            WaiterKind::Begun => has_room || budget.has_no_overdraft(),
            WaiterKind::Other => has_room,
        };
        self.queues()
            .into_iter()
            .filter(|(_, kind)| may_go_on(*kind))
            .find_map(|(queue, kind)| Some((queue.pop_front()?, kind)))
    }

    /// A waiting connection is gone. `is_there` tells for each whether it still exists.
    pub(super) fn forget(&mut self, is_there: impl Fn(Token) -> bool) {
        self.gone += 1;
        if self.gone > FEW && self.gone > self.len() / 2 {
            for (queue, _) in self.queues() {
                queue.retain(|token| is_there(*token));
            }
            self.gone = 0;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.unseen.len() + self.begun.len() + self.others.len() + self.guests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queues in the order of service.
    fn queues(&mut self) -> [(&mut VecDeque<Token>, WaiterKind); 4] {
        [
            (&mut self.guests, WaiterKind::Guest),
            (&mut self.unseen, WaiterKind::Unseen),
            (&mut self.begun, WaiterKind::Begun),
            (&mut self.others, WaiterKind::Other),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Asker, Charge, Grant};
    use super::*;

    const ROOM: Room = Room { free: 100, most: 200, reserve: 20, guests: 10 };

    fn token(number: usize) -> Token {
        Token::new(number, number as u64).unwrap()
    }

    fn queue(kind: WaiterKind) -> Queues {
        Queues::default().with(kind)
    }

    fn next(waiters: &mut MemoryWaiters, budget: &Budget) -> Option<Token> {
        waiters.next(budget, ROOM).map(|(token, _)| token)
    }

    /// 1 to 3 send parts of requests and never complete one. 4 may have sent a whole one.
    #[test]
    fn beginnings_of_requests_do_not_come_before_what_may_be_a_whole_one() {
        let budget = Budget::default();
        let mut waiters = MemoryWaiters::default();
        for number in 1..=3 {
            waiters.push(token(number), queue(WaiterKind::Begun));
        }
        waiters.push(token(4), queue(WaiterKind::Unseen));
        let reserve = Charge { bytes: 20, share: Share::Reserve };
        budget.recharge(Charge::default(), Charge::user(120));
        budget.recharge(Charge::default(), reserve);
        assert_eq!(next(&mut waiters, &budget), Some(token(1)), "to complete it gives memory back");
        assert_eq!(budget.grant(ROOM, 1, Asker::Begun { may_overdraw: true }), Grant::All);
        assert_eq!(next(&mut waiters, &budget), None, "all memory is spent, the reserve, too");
        budget.recharge(reserve, Charge::default());
        assert_eq!(next(&mut waiters, &budget), Some(token(4)), "the reserve is for whole requests");
        assert_eq!(budget.grant(ROOM, 4, Asker::Fresh), Grant::Whole);
        assert_eq!(next(&mut waiters, &budget), None);
        budget.recharge(Charge::user(120), Charge::user(50));
        waiters.push(token(4), queue(WaiterKind::Unseen));
        assert_eq!(next(&mut waiters, &budget), Some(token(4)), "before those that have begun");
        assert_eq!(next(&mut waiters, &budget), Some(token(2)));
    }

    #[test]
    fn a_connection_is_in_each_queue_once() {
        let mut queues = queue(WaiterKind::Other);
        let both = queue(WaiterKind::Other).with(WaiterKind::Unseen);
        assert_eq!(queues.add(both), queue(WaiterKind::Unseen));
        assert!(queues.add(both).is_empty());
        assert_eq!(queues.without(WaiterKind::Other), queue(WaiterKind::Unseen));
        assert!(queues.without(WaiterKind::Other).without(WaiterKind::Unseen).is_empty());
    }

    #[test]
    fn nobody_is_tried_who_may_not_go_on() {
        let budget = Budget::default();
        let mut memory_waiters = MemoryWaiters::default();
        for number in 1..=3 {
            memory_waiters.push(token(number), queue(WaiterKind::Other));
        }
        memory_waiters.push(token(4), queue(WaiterKind::Begun));
        memory_waiters.push(token(5), queue(WaiterKind::Begun));

        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(next(&mut memory_waiters, &budget), Some(token(4)), "nobody is overdrawn");
        assert_eq!(budget.grant(ROOM, 4, Asker::Begun { may_overdraw: true }), Grant::All);
        assert_eq!(next(&mut memory_waiters, &budget), None, "4 is");
        budget.end_overdraft(4);
        assert_eq!(next(&mut memory_waiters, &budget), Some(token(5)));
        assert_eq!(next(&mut memory_waiters, &budget), None, "the others have nothing to complete");
        assert_eq!(memory_waiters.len(), 3);

        budget.recharge(Charge::user(100), Charge::user(99));
        assert_eq!(next(&mut memory_waiters, &budget), Some(token(1)));
        budget.recharge(Charge::user(99), Charge::user(100));
        assert_eq!(next(&mut memory_waiters, &budget), None, "it has taken what there was");
        budget.recharge(Charge::user(100), Charge::user(99));
        memory_waiters.push(token(6), queue(WaiterKind::Begun));
        let rest: Vec<_> = std::iter::from_fn(|| next(&mut memory_waiters, &budget)).collect();
        assert_eq!(rest, [token(6), token(2), token(3)]);
        assert!(memory_waiters.is_empty());
    }

    #[test]
    fn guests_wait_for_memory_of_their_own() {
        let budget = Budget::default();
        let mut memory_waiters = MemoryWaiters::default();
        memory_waiters.push(token(1), queue(WaiterKind::Guest));
        memory_waiters.push(token(2), queue(WaiterKind::Other));
        budget.recharge(Charge::default(), Charge { bytes: 10, share: Share::Guests });
        assert_eq!(next(&mut memory_waiters, &budget), Some(token(2)));
        assert_eq!(next(&mut memory_waiters, &budget), None);
        budget.recharge(Charge { bytes: 10, share: Share::Guests }, Charge::default());
        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(next(&mut memory_waiters, &budget), Some(token(1)));
    }

    #[test]
    fn those_that_are_gone_do_not_pile_up() {
        let mut memory_waiters = MemoryWaiters::default();
        for number in 1..1000 {
            memory_waiters.push(token(number), queue(WaiterKind::Other));
            memory_waiters.forget(|_| false);
        }
        assert!(memory_waiters.len() <= 2 * FEW + 1, "{}", memory_waiters.len());
    }
}
