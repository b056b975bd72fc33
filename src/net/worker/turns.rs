//! How a worker gives connections their turns, and handles the result of each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::super::connection::{Connection, Turn, TurnContext};
use super::super::endings::{Ending, Manner};
use super::super::handler::{Handler, LastWords};
use super::super::linger::MAX_LINGERING;
use super::super::token::Token;
use super::{Worker, find};

impl<H: Handler> Worker<H> {
    /// Turns for connections with more to read, and for those that can have memory by now. Each gets one.
    pub(super) fn go_on(&mut self) {
        for _ in 0..self.again.len() {
            if let Some(token) = self.again.pop_front() {
                self.give_turn(token, Connection::turn);
            }
        }
        for _ in 0..self.memory_waiters.len() {
            let Some((token, kind)) = self.memory_waiters.next(&self.shared.budget, self.room()) else {
                break;
            };
            if let Some(connection) = find(&mut self.connections, token) {
                connection.leaves_memory_queue(kind, &self.shared.budget);
                self.give_turn(token, Connection::turn);
            }
        }
    }

    /// Gives a connection its turn. A panic ends this connection and nothing else.
    pub(super) fn give_turn(
        &mut self,
        token: Token,
        turn: impl FnOnce(&mut Connection<H>, Token, &mut TurnContext<'_, H>) -> Turn,
    ) {
        let (now, room) = (self.coarse_now(), self.room());
        let Some(connection) = find(&mut self.connections, token) else { return };
        let mut context = TurnContext {
            services: &self.shared.services,
            sessions: &mut self.sessions,
            budget: &self.shared.budget,
            room,
            runtime: &self.shared.runtime,
            mailbox: &self.mailbox,
            readiness: &self.readiness,
            pool: &mut self.pool,
            draining: self.drains,
            now,
            woken: self.woken,
        };
        // Sound: after a panic only the connection's socket, admission and buffers are used again, and what it shares
        // with others stays consistent.
        let turn = catch_unwind(AssertUnwindSafe(|| turn(connection, token, &mut context)));
        match turn {
            Ok(Turn::Waits) => {}
            Ok(Turn::Again) => self.again.push_back(token),
            Ok(Turn::NeedsMemory(queues)) => self.memory_waiters.push(token, queues),
            Ok(Turn::Parts) => self.part(token),
            Ok(Turn::Over(ending)) => self.remove(token.index as usize, ending),
            Err(_) => self.remove(token.index as usize, Ending::Failed),
        }
    }

    /// Lets a connection that only waits for its last answer give up its place. It is counted and limited like
    /// lingering sockets.
    fn part(&mut self, token: Token) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        if connection.has_parted() {
            return;
        }
        let lingering = &self.shared.lingering;
        if lingering.fetch_add(1, Ordering::Relaxed) >= MAX_LINGERING {
            lingering.fetch_sub(1, Ordering::Relaxed);
            return self.remove(token.index as usize, Ending::Client);
        }
        self.recorder.ended(Ending::Client);
        connection.part();
    }

    /// Ends connections that only wait for their last answer, since there are no descriptors. Returns whether there
    /// were any.
    pub(super) fn cut_parted(&mut self) -> bool {
        let before = self.connections.len();
        self.end_those(|connection| connection.has_parted().then_some(Ending::Client));
        self.connections.len() < before
    }

    pub(super) fn remove(&mut self, index: usize, ending: Ending) {
        let Some(connection) = self.connections.try_remove(index) else { return };
        let has_parted = connection.has_parted();
        let (peer, is_quiet) = (connection.peer(), connection.is_quiet(self.coarse_now()));
        if connection.waits_for_memory() {
            let connections = &self.connections;
            self.memory_waiters.forget(|token| {
                connections.get(token.index as usize).is_some_and(|connection| {
                    Token::new(token.index as usize, connection.id()) == Some(token)
                })
            });
        }
        if ending == Ending::Failed {
            self.recorder.panic();
            tracing::error!(%peer, "the session of {peer} panicked: its connection is closed");
        }
        let user = connection.user();
        if has_parted {
            // It was counted when it gave up its place.
            self.shared.lingering.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.shared.endings.note(ending, peer, user);
            // Before its place is free, so that an observer of the free place finds it counted.
            self.recorder.ended(ending);
        }
        let transport = connection.close(&self.shared.budget, &mut self.pool);
        self.mailbox.take_load();
        match ending.manner() {
            Manner::AtOnce => {}
            Manner::WithLastLine => {
                let mut line = Vec::new();
                let longest = self.settings.request_timeout;
                H::last_words(LastWords::TooSlow { longest }, &mut line);
                self.linger.farewell(transport, &line, self.now);
            }
            // A lingering socket takes no place.
            Manner::AfterLastLine => self.linger.keep(transport, self.now),
            // A drain need not wait for long-idle clients, of which there may be many.
            Manner::AfterAnswers if is_quiet => {}
            Manner::AfterAnswers => self.linger.end(transport, self.now),
        }
    }
}
