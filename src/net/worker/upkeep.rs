//! The worker's periodic work, four times a second: ends overdue connections, makes room, returns memory, logs
//! summaries.

use std::sync::Arc;
use std::time::Instant;

use super::super::endings;
use super::super::handler::{Handler, Services as _};
use super::super::settings::Room;
use super::super::ticks::Ticks;
use super::super::token::Token;
use super::{Orders, TICK, Worker};

/// Ticks between two summaries of rejections: one second.
const TICKS_A_SUMMARY: u32 = 4;

/// Ticks between two summaries of endings.
const TICKS_TO_ENDINGS: u32 = (endings::INTERVAL.as_millis() / TICK.as_millis()) as u32;

/// Below this many places it is not worth while to return any.
const LEAST_ROOM: usize = 64;

impl<H: Handler> Worker<H> {
    /// Runs the checks that require that all input which had arrived at `asked` is handled: no connection is cut off
    /// whose request is there.
    pub(super) fn judge(&mut self, asked: Instant) {
        if let Some(Orders { drain, cut }) = self.orders.take() {
            self.carry_out(drain, cut);
        }
        if asked >= self.next_tick {
            self.tick(Ticks::between(self.shared.started, asked));
        }
    }

    fn tick(&mut self, now: Ticks) {
        self.next_tick = self.now + TICK;
        self.ticks = self.ticks.wrapping_add(1);
        let settings = self.settings;
        let late: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(index, connection)| {
                let ending = connection.overdue(&settings, now)?;
                Some((Token::new(index, connection.id())?, ending))
            })
            .collect();
        for (token, ending) in late {
            self.give_turn(token, |connection, token, context| connection.give_up(ending, token, context));
        }
        if self.shared.budget.waiting() > 0 {
            self.make_room(now);
        }
        self.linger.sweep(self.now);
        self.shared.services.tick();
        self.pool.trim();
        if self.has_room_to_give_back() {
            self.connections.shrink_to_fit();
            self.gave_back = (self.connections.len(), self.connections.capacity());
        }
        if self.number == 0 && self.ticks.is_multiple_of(TICKS_A_SUMMARY) {
            self.shared.turned_away.log();
            self.shared.budget.end_pause();
        }
        if self.number == 0 && self.ticks.is_multiple_of(TICKS_TO_ENDINGS) {
            self.shared.endings.log();
            self.shared.services.log();
        }
    }

    /// Whether closed connections have left much room, and anything has changed since the last return: room before a
    /// connection that is still open cannot be returned.
    pub(super) fn has_room_to_give_back(&self) -> bool {
        let (open, room) = (self.connections.len(), self.connections.capacity());
        room > LEAST_ROOM && open < room / 4 && (open, room) != self.gave_back
    }

    /// Ends connections that hold memory and do not progress, the largest first, until there is room for those that
    /// wait.
    fn make_room(&mut self, now: Ticks) {
        let (room, budget) = (self.room(), Arc::clone(&self.shared.budget));
        let is_exhausted = budget.is_exhausted(room);
        let mut slow: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(index, connection)| {
                let (ending, held) = connection.gives_way(is_exhausted, now)?;
                Some((budget.has_overdraft(connection.id()), held.bytes, held.share, index, ending))
            })
            .collect();
        slow.sort_unstable_by_key(|&(has_overdraft, held, ..)| std::cmp::Reverse((has_overdraft, held)));
        // A part of it, so that the room is not for one request only.
        let part = |most: usize| most - most / 8;
        let wanted =
            Room { free: part(room.free), guests: part(room.guests), reserve: part(room.reserve), ..room };
        for (.., share, index, ending) in slow {
            if !budget.has_room(wanted, share) {
                self.remove(index, ending);
            }
        }
    }
}
