//! A turn of a connection: it reads, has its session answer, and sends, as far as that goes without waiting.

use super::super::budget::{Asker, Budget, Charge, Grant, Share};
use super::super::endings::Ending;
use super::super::handler::{Handler, Step};
use super::super::memory_waiters::{Queues, WaiterKind};
use super::super::readiness::Ready;
use super::super::token::Token;
use super::{Connection, State, Turn, TurnContext};

impl<H: Handler> Connection<H> {
    /// Goes as far as it can without waiting.
    pub(in crate::net) fn turn(&mut self, token: Token, context: &mut TurnContext<'_, H>) -> Turn {
        let mut turn = self.go_on(token, context).unwrap_or_else(Turn::Over);
        self.queued = turn == Turn::Again;
        if let Turn::NeedsMemory(queues) = turn {
            if !self.waits_for_memory() {
                context.budget.wait(context.room);
            }
            let new = self.memory_queues.add(queues);
            turn = if new.is_empty() { Turn::Waits } else { Turn::NeedsMemory(new) };
        }
        let (is_guest, is_sending) = (self.is_guest(), self.state == State::Sending);
        if let Some(work) = &mut self.work {
            // The reserve is for clients that read their answers.
            if is_sending
                && std::mem::take(&mut work.from_reserve)
                && turn == Turn::Waits
                && context.budget.is_exhausted(context.room)
            {
                turn = Turn::Over(Ending::NotReading);
            }
            let share = match (is_guest, work.from_reserve) {
                (true, _) => Share::Guests,
                (false, true) => Share::Reserve,
                (false, false) => Share::Users,
            };
            let held = Charge { bytes: work.held(), share };
            context.budget.recharge(std::mem::replace(&mut work.charged, held), held);
        }
        turn
    }

    /// Continues with the outcome that its session has waited for. `None` means that it will not come.
    pub(in crate::net) fn completed(
        &mut self,
        completion: Option<H::Completion<'_>>,
        token: Token,
        context: &mut TurnContext<'_, H>,
    ) -> Turn {
        if self.state != State::Awaiting {
            // The wait was given up.
            return Turn::Waits;
        }
        self.state = State::Listening;
        self.since = context.now;
        let Some(completion) = completion else { return Turn::Over(Ending::Failed) };
        let work = self.work.get_or_insert_with(|| context.pool.take());
        match self.session.on_completion(completion, work, &mut context.of(token, self.peer)) {
            Step::Read | Step::Send => {}
            Step::Wait => self.state = State::Awaiting,
            Step::Close(ending) => {
                work.last = Some(ending);
                self.state = State::Sending;
            }
        }
        self.turn(token, context)
    }

    /// Continues because the session's second socket is ready.
    pub(in crate::net) fn backend_ready(
        &mut self,
        ready: Ready,
        token: Token,
        context: &mut TurnContext<'_, H>,
    ) -> Turn {
        self.session.on_backend(ready);
        if self.state == State::Awaiting {
            self.state = State::Listening;
            self.since = context.now;
        }
        // The session is only called with a `Work`.
        self.work.get_or_insert_with(|| context.pool.take());
        self.turn(token, context)
    }

    fn go_on(&mut self, token: Token, context: &mut TurnContext<'_, H>) -> Result<Turn, Ending> {
        if self.state == State::Awaiting {
            return self.wait();
        }
        if self.state == State::Sending {
            if !self.send(token, context)? {
                return Ok(Turn::Waits);
            }
            // Input behind those answers has waited for the client to read.
            if let Some(work) = &mut self.work {
                work.since = Some(context.woken);
            }
        }
        let mut has_read = false;
        loop {
            // First the bytes already here, then new ones.
            while let Some(work) = &mut self.work {
                let (step, handled) = self.session.on_input(work, &mut context.of(token, self.peer));
                self.requests += handled as u64;
                if handled > 0 {
                    self.since = context.now;
                    self.has_completed = true;
                }
                match step {
                    Step::Wait => {
                        self.state = State::Awaiting;
                        return self.wait();
                    }
                    Step::Read | Step::Send => {}
                    Step::Close(ending) => work.last = Some(ending),
                }
                if !self.send(token, context)? {
                    return Ok(Turn::Waits);
                }
                if step == Step::Read {
                    break;
                }
            }
            if self.ending {
                return Err(Ending::Killed);
            }
            if context.draining {
                return Err(Ending::Drained);
            }
            if !self.readable {
                self.rest(context);
                return Ok(Turn::Waits);
            }
            if has_read {
                return Ok(Turn::Again);
            }
            let has_begun = self.has_begun();
            // Only now: the request that it was for is answered and holds no memory any more.
            let had_overdraft = self.return_overdraft(context.budget);
            let is_guest = self.is_guest();
            let asker = match (is_guest, has_begun) {
                (true, _) => Asker::Guest,
                (false, false) => Asker::Fresh,
                (false, true) => Asker::Begun { may_overdraw: !had_overdraft },
            };
            let grant = context.budget.grant(context.room, self.id, asker);
            // A client that is gone must not hold a place: this much is read to find out.
            let grant = if grant == Grant::Nothing && self.hung_up { Grant::Whole } else { grant };
            if grant == Grant::Nothing || !self.read(grant, context)? {
                // Others may be waiting for what it holds without need, including the overdraft.
                self.rest(context);
                if !has_begun && !self.kept_waiting {
                    self.kept_waiting = true;
                    if !is_guest {
                        self.since = context.now;
                    }
                }
                let was_seen = grant != Grant::Nothing;
                let queues = Queues::default();
                return Ok(Turn::NeedsMemory(match (is_guest, has_begun, was_seen) {
                    (true, ..) => queues.with(WaiterKind::Guest),
                    (false, true, true) => queues.with(WaiterKind::Begun),
                    (false, true, false) => queues.with(WaiterKind::Begun).with(WaiterKind::Unseen),
                    (false, false, true) => queues.with(WaiterKind::Other),
                    (false, false, false) => queues.with(WaiterKind::Unseen),
                }));
            }
            has_read = true;
        }
    }

    /// Frees everything that is not needed while the client is silent.
    fn rest(&mut self, context: &mut TurnContext<'_, H>) {
        match &mut self.work {
            Some(work) if !work.input.is_empty() => {
                work.compact();
                self.return_overdraft(context.budget);
            }
            _ => {
                if let Some(work) = self.work.take() {
                    context.budget.recharge(work.charged, Charge::default());
                    context.budget.end_overdraft(self.id);
                    context.pool.give(work);
                }
            }
        }
    }

    /// Ends the overdraft if its request is completed. Returns whether it did.
    fn return_overdraft(&mut self, budget: &Budget) -> bool {
        std::mem::take(&mut self.has_completed) && budget.end_overdraft(self.id)
    }
}
