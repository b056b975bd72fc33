//! One client's connection, from its first byte to its end. Owns the admission, so that every way out frees
//! the place.
//!
//! A worker advances a connection in [turns](turn): each goes as far as it can without waiting, and returns what the
//! connection then waits for. In between it is a few words in the worker's slab: no task, no timer, and no buffer
//! unless it has begun a request.

mod deadlines;
mod parting;
mod reading;
mod sending;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use crate::limiter::Admission;

use super::admission::Admitted;
use super::budget::{Budget, Charge};
use super::endings::Ending;
use super::handler::{Context, Handler};
use super::mailbox::Mailbox;
use super::memory_waiters::{Queues, WaiterKind};
use super::message::Message;
use super::readiness::{Readiness, Ready};
use super::roster::ConnectionInfo;
use super::settings::{ClientSettings, Room};
use super::ticks::Ticks;
use super::token::Token;
use super::transport::Transport;
use super::work::{Pool, Work};

/// With this much of its request still unread, a connection continues as far as it can.
const PLENTY: usize = 4096;
/// One client's connection.
pub(super) struct Connection<H: Handler> {
    transport: Transport,
    state: State,
    /// There may be input to read.
    readable: bool,
    /// The client has sent its end of file, or the connection is broken: the last read shows which.
    hung_up: bool,
    /// To end once its requests are answered.
    ending: bool,
    /// It gets a turn without a readiness event: there is more to read.
    queued: bool,
    /// The queues in which it waits for memory.
    memory_queues: Queues,
    /// The beginning of a request was seen, but there was no memory for it.
    kept_waiting: bool,
    /// It has completed a request since its last read. If it had an overdraft for that, others come first now.
    has_completed: bool,
    /// Whether room to send is watched for as well.
    watched_for_room: bool,
    session: H,
    id: u64,
    peer: SocketAddr,
    connected: Ticks,
    /// Since when the server waits for the client: from the connect until the login, then from its last request or the
    /// first byte of the next, or from the moment it last read some of its answers.
    since: Ticks,
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
    work: Option<Box<Work<H>>>,
    /// Declared last: when its place is free, everything else of the connection is gone. `None` if the client has ended
    /// its side and only waits for a last answer, which takes no place.
    admission: Option<Admission>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The login line, a request, or the rest of one.
    Listening,
    /// An outcome from elsewhere: a login, a commit, an administrator's request.
    Awaiting,
    /// The client reading its answers.
    Sending,
}

/// What a connection works with in its turn.
pub(super) struct TurnContext<'a, H: Handler> {
    pub(super) services: &'a H::Services,
    /// What the sessions of this worker share.
    pub(super) sessions: &'a mut H::Worker,
    pub(super) budget: &'a Budget,
    /// How much of the budget may be spent before reading pauses.
    pub(super) room: Room,
    /// The runtime for slow work.
    pub(super) runtime: &'a Handle,
    pub(super) mailbox: &'a Arc<Mailbox<Message<H>>>,
    pub(super) readiness: &'a Readiness,
    pub(super) pool: &'a mut Pool<H>,
    pub(super) draining: bool,
    pub(super) now: Ticks,
    /// The exact time: when the worker learnt of the events that it works on.
    pub(super) woken: Instant,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The connection waits, and an event will wake it.
    Waits,
    /// There may be more to read, but others come first.
    Again,
    /// There is no memory for the client's input.
    NeedsMemory(Queues),
    /// The client has ended its side and only waits for an answer. It needs no place for that.
    Parts,
    /// It is over.
    Over(Ending),
}

impl<H: Handler> Connection<H> {
    pub(super) fn new(admitted: Admitted, settings: &ClientSettings, now: Ticks) -> Self {
        let Admitted { id, transport, peer, admission } = admitted;
        Self {
            transport,
            state: State::Listening,
            readable: false,
            hung_up: false,
            ending: false,
            queued: false,
            memory_queues: Queues::default(),
            kept_waiting: false,
            has_completed: false,
            watched_for_room: false,
            session: H::new(settings),
            id,
            peer,
            connected: now,
            since: now,
            requests: 0,
            bytes_in: 0,
            bytes_out: 0,
            work: None,
            admission: Some(admission),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client's user, if it has logged in.
    pub(super) fn user(&self) -> Option<&str> {
        self.session.user()
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether its last turn ended with the promise of another soon.
    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    /// Records what the system reports of the socket.
    pub(super) fn noticed(&mut self, Ready { readable, hung_up }: Ready) {
        self.readable |= readable;
        self.hung_up |= hung_up;
    }

    /// Whether it is in a queue for memory.
    pub(super) fn waits_for_memory(&self) -> bool {
        !self.memory_queues.is_empty()
    }

    /// It was taken out of this queue.
    pub(super) fn leaves_memory_queue(&mut self, kind: WaiterKind, budget: &Budget) {
        let left = self.memory_queues.without(kind);
        if left.is_empty() && self.waits_for_memory() {
            budget.stop_waiting();
        }
        self.memory_queues = left;
    }

    fn is_guest(&self) -> bool {
        self.session.user().is_none()
    }

    /// Ends the connection when it is between requests, and returns whether that is now.
    pub(super) fn end(&mut self) -> bool {
        self.ending = true;
        self.is_between_requests()
    }

    /// Whether everything that was read is answered.
    pub(super) fn is_between_requests(&self) -> bool {
        self.state == State::Listening
    }

    /// Whether closing it at once loses nothing: the client has had time to read all answers, and has sent nothing
    /// since.
    pub(super) fn is_quiet(&self, now: Ticks) -> bool {
        self.state == State::Listening
            && !self.readable
            && self.work.is_none()
            && now.since(self.since) > Ticks::count(super::linger::LONGEST)
    }

    /// Whether a part of a request is read.
    fn has_begun(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.input.is_empty())
    }

    pub(super) fn info(&self, now: Ticks) -> ConnectionInfo<H::Label> {
        let idle = if self.state == State::Awaiting { 0 } else { now.since(self.since) };
        ConnectionInfo {
            id: self.id,
            peer: self.peer,
            label: self.session.label(),
            age: Ticks::duration(now.since(self.connected)),
            idle: Ticks::duration(idle),
            requests: self.requests,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }

    /// Returns its memory, frees its place, and hands over the transport.
    pub(super) fn close(self, budget: &Budget, pool: &mut Pool<H>) -> Transport {
        let Self { transport, work, admission, id, memory_queues, .. } = self;
        if !memory_queues.is_empty() {
            budget.stop_waiting();
        }
        if let Some(work) = work {
            budget.recharge(work.charged, Charge::default());
            pool.give(work);
        }
        budget.end_overdraft(id);
        drop(admission);
        transport
    }
}

impl<H: Handler> TurnContext<'_, H> {
    /// What the session of one connection works with.
    fn of(&mut self, token: Token, peer: SocketAddr) -> Context<'_, H> {
        Context {
            services: self.services,
            worker: self.sessions,
            runtime: self.runtime,
            peer,
            token,
            mailbox: self.mailbox,
            readiness: self.readiness,
        }
    }
}
