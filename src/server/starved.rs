//! Connections that there was no memory for, until there is some.
//!
//! They are tried again only when one may go on: whoever asks for [the next](Starved::next) gets none as long
//! as all memory is spent and somebody is favoured, however many wait.

use std::collections::VecDeque;

use super::budget::Budget;
use super::mailbox::Token;

/// Connections that wait for memory, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Starved {
    /// Those that have begun a request. They come first: completing it gives back what it holds.
    begun: VecDeque<Token>,
    others: VecDeque<Token>,
}

impl Starved {
    /// Has a connection wait.
    pub(super) fn push(&mut self, token: Token, has_begun: bool) {
        let queue = if has_begun { &mut self.begun } else { &mut self.others };
        queue.push_back(token);
    }

    /// The next that may go on, with `most` bytes to spend in all.
    pub(super) fn next(&mut self, budget: &Budget, most: usize) -> Option<Token> {
        if budget.has_room(most) {
            self.begun.pop_front().or_else(|| self.others.pop_front())
        } else if budget.favours_nobody() {
            self.begun.pop_front()
        } else {
            None
        }
    }

    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.others.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.others.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Token {
        Token::new(number, number as u64).unwrap()
    }

    #[test]
    fn nobody_is_tried_who_may_not_go_on() {
        let (budget, most) = (Budget::new(), 100);
        let mut starved = Starved::default();
        for number in 1..=3 {
            starved.push(token(number), false);
        }
        starved.push(token(4), true);
        starved.push(token(5), true);

        budget.recharge(0, most);
        assert_eq!(starved.next(&budget, most), Some(token(4)), "nobody is favoured");
        assert!(budget.may_read(most, 4, true));
        assert_eq!(starved.next(&budget, most), None, "4 is");
        budget.unfavour(4);
        assert_eq!(starved.next(&budget, most), Some(token(5)));
        assert_eq!(starved.next(&budget, most), None, "the others have nothing to complete");
        assert_eq!(starved.len(), 3);

        budget.recharge(most, most - 1);
        assert_eq!(starved.next(&budget, most), Some(token(1)));
        budget.recharge(0, 1);
        assert_eq!(starved.next(&budget, most), None, "it has taken what there was");
        budget.recharge(1, 0);
        starved.push(token(6), true);
        let rest: Vec<_> = std::iter::from_fn(|| starved.next(&budget, most)).collect();
        assert_eq!(rest, [token(6), token(2), token(3)]);
        assert!(starved.is_empty());
    }
}
