//! The worker's handling of messages.

use std::io;

use tokio::sync::oneshot;

use super::super::accept::KEPT_FOR_REJECTIONS;
use super::super::connection::Connection;
use super::super::endings::Ending;
use super::super::handler::Handler;
use super::super::linger::LONGEST;
use super::super::message::Message;
use super::super::probe::{self, Probe};
use super::super::roster::Ended;
use super::super::token::Token;
use super::Worker;

/// Work for the moment when all arrived input is handled.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) drain: Option<oneshot::Sender<()>>,
    pub(super) cut: Option<oneshot::Sender<usize>>,
}

impl<H: Handler> Worker<H> {
    pub(super) fn read_message(&mut self, message: Message<H>) -> io::Result<()> {
        match message {
            Message::Welcome(admitted) => self.welcome(admitted),
            Message::Batch(batch) => {
                for (token, completion) in H::completions(&batch) {
                    self.completed(token, Some(completion));
                }
            }
            Message::Completed(token, completion) => self.completed(token, completion),
            Message::Probe(probe) => self.pass_on(probe),
            Message::Heartbeat(answer) => {
                if self.acceptor.as_ref().is_some_and(|acceptor| acceptor.paused_until().is_none()) {
                    self.accept()?;
                }
                self.pass_on(Probe::Heartbeat(answer));
            }
            Message::TakeHangUps(round) => self.asked = Some((round, self.looks + 1)),
            Message::HangUpsTaken(round) => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.undecided().taken(round);
                }
            }
            Message::MakeRoom => {
                for _ in 0..KEPT_FOR_REJECTIONS {
                    self.linger.cut(self.now);
                }
                self.cut_parted();
            }
            Message::StopAccepting { shared, stopped } => {
                self.stop_accepting(shared)?;
                stopped.send(()).ok();
            }
            Message::Drain(drained) => self.orders.get_or_insert_default().drain = Some(drained),
            Message::Cut(cut) => self.orders.get_or_insert_default().cut = Some(cut),
            Message::List(reply) => {
                let now = self.coarse_now();
                reply
                    .send(
                        self.connections
                            .iter()
                            .filter(|(_, connection)| !connection.has_parted())
                            .map(|(_, connection)| connection.info(now))
                            .collect(),
                    )
                    .ok();
            }
            Message::End(id, reply) => {
                reply.send(self.end(id)).ok();
            }
            Message::Stop => {
                self.stop_accepting(true)?;
                self.end_those(|_| Some(Ending::DrainTimeout));
                self.stopping = Some(self.now + LONGEST);
            }
        }
        Ok(())
    }

    fn completed(&mut self, token: Token, completion: Option<H::Completion<'_>>) {
        self.give_turn(token, |connection, token, context| connection.completed(completion, token, context));
    }

    /// Drains, and cuts off the rest, if requested.
    pub(super) fn carry_out(
        &mut self,
        drain: Option<oneshot::Sender<()>>,
        cut: Option<oneshot::Sender<usize>>,
    ) {
        if drain.is_some() {
            self.drains = true;
            self.draining = drain;
            self.end_those(|connection| connection.is_between_requests().then_some(Ending::Drained));
        }
        if let Some(cut) = cut {
            let connections = self.connections.len();
            self.end_those(|_| Some(Ending::DrainTimeout));
            cut.send(connections).ok();
        }
    }

    /// Ends all connections for which `reason` returns one.
    pub(super) fn end_those(&mut self, mut reason: impl FnMut(&mut Connection<H>) -> Option<Ending>) {
        let ending: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(index, connection)| Some((index, reason(connection)?)))
            .collect();
        for (index, ending) in ending {
            self.remove(index, ending);
        }
    }

    fn end(&mut self, id: u64) -> Option<Ended> {
        let (index, connection) = self
            .connections
            .iter_mut()
            .find(|(_, connection)| connection.id() == id && !connection.has_parted())?;
        if !connection.end() {
            return Some(Ended::AfterItsRequest);
        }
        self.remove(index, Ending::Killed);
        Some(Ended::Now)
    }

    /// Passes on a probe, so that it goes through every worker, and then has what serves the sessions answer it.
    pub(super) fn pass_on(&self, probe: Probe) {
        match self.shared.mailboxes.get(self.number + 1) {
            Some(next) => next.send(Message::Probe(probe)),
            None => probe::answer(probe, &self.shared),
        }
    }
}
