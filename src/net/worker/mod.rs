//! A thread that serves connections: waits for any of them to have something to do, and gives each its turn.
//!
//! A worker owns its connections: no other thread touches them, so nothing here is locked. It waits only for its
//! readiness: slow work is done elsewhere, and comes back through the [mailbox](super::mailbox::Mailbox). The first
//! worker accepts as well.

mod accepting;
mod messages;
mod turns;
mod upkeep;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::{oneshot, watch};

use super::accept::Acceptor;
use super::connection::Connection;
use super::counters::Recorder;
use super::handler::{Handler, Services as _};
use super::linger::{BUSY_PAUSE, Linger};
use super::mailbox::Mailbox;
use super::memory_waiters::MemoryWaiters;
use super::message::{Message, Outbox};
use super::readiness::{Event, Events, Readiness};
use super::settings::{ClientSettings, Room};
use super::ticks::{Clock, Ticks};
use super::token::{Side, Token};
use super::work::Pool;

use super::Shared;
use messages::Orders;

/// Connections accepted before other work gets its turn.
const BATCH: usize = 64;

/// The pause between two checks for overdue connections and for sockets that have lingered long enough.
const TICK: Duration = Duration::from_millis(250);

/// The pause before checking again for memory for those that wait: other workers return some, too.
const MEMORY_PAUSE: Duration = Duration::from_millis(5);

/// The same for lingering sockets when the thread is to end.
const STOPPING_PAUSE: Duration = Duration::from_millis(10);

/// Keys of sockets that are not connections. No connection's index is that large.
const WAKER: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

#[cfg(test)]
pub(super) const LOWEST_OWN_KEY: u64 = LISTENER;

/// One thread's share of the connections.
pub(super) struct Worker<H: Handler> {
    number: usize,
    shared: Arc<Shared<H>>,
    mailbox: Arc<Mailbox<Message<H>>>,
    /// The same, for outcomes that the sessions send together.
    outbox: Outbox<H>,
    /// What the sessions of this worker share.
    sessions: H::Worker,
    settings: ClientSettings,
    changes: watch::Receiver<ClientSettings>,
    readiness: Readiness,
    connections: Slab<Connection<H>>,
    acceptor: Option<Acceptor>,
    linger: Linger,
    pool: Pool<H>,
    recorder: Recorder,
    /// Connections that have more to read.
    again: VecDeque<Token>,
    /// Connections that wait for memory.
    memory_waiters: MemoryWaiters,
    /// The number of connections and the room after room was last returned.
    gave_back: (usize, usize),
    next_tick: Instant,
    ticks: u32,
    /// When the last wait ended, by `clock`.
    now: Instant,
    /// The same, by the system's clock.
    woken: Instant,
    clock: Clock,
    scan: Scan,
    orders: Option<Orders>,
    draining: Option<oneshot::Sender<()>>,
    drains: bool,
    /// How often all sockets were checked and everything they had was taken in.
    looks: u64,
    /// The round in which another worker has requested such a check, and the number of checks by then.
    asked: Option<(u64, u64)>,
    /// Until when sockets may linger after the thread was told to end.
    stopping: Option<Instant>,
}

/// Whether all sockets with events have been checked.
#[derive(Debug, Default)]
struct Scan {
    /// Consecutive waits that may have left some out.
    incomplete: usize,
}

impl Scan {
    /// Records the result of a wait. Ready sockets take turns, so that no more waits are needed than it takes to return
    /// all connections.
    fn has_seen_all(&mut self, events: &Events, connections: usize) -> bool {
        if events.are_all() || self.incomplete > connections / events.most() {
            self.incomplete = 0;
            return true;
        }
        self.incomplete += usize::from(events.is_full());
        false
    }
}

impl<H: Handler> Worker<H> {
    /// Worker `number`, which accepts if it is given a listener.
    pub(super) fn new(
        number: usize,
        shared: &Arc<Shared<H>>,
        acceptor: Option<Acceptor>,
    ) -> io::Result<Self> {
        let Some(mailbox) = shared.mailboxes.get(number).cloned() else {
            return Err(io::Error::other("there is no mailbox for this worker"));
        };
        let readiness = Readiness::new()?;
        mailbox.waker().register(&readiness, WAKER)?;
        if let Some(acceptor) = &acceptor {
            readiness.watch_listener(acceptor.listener(), LISTENER)?;
        }
        let now = Instant::now();
        let mut changes = shared.settings.clone();
        let settings = *changes.borrow_and_update();
        Ok(Self {
            settings,
            changes,
            number,
            shared: Arc::clone(shared),
            outbox: Outbox::new(&mailbox),
            mailbox,
            sessions: H::worker(&shared.services),
            readiness,
            connections: Slab::new(),
            acceptor,
            linger: Linger::new(Arc::clone(&shared.lingering)),
            pool: Pool::default(),
            recorder: shared.counters.recorder(),
            again: VecDeque::new(),
            memory_waiters: MemoryWaiters::default(),
            gave_back: (0, 0),
            next_tick: now + TICK,
            ticks: 0,
            now,
            woken: now,
            clock: Clock::new(now),
            scan: Scan::default(),
            orders: None,
            draining: None,
            drains: false,
            looks: 0,
            asked: None,
            stopping: None,
        })
    }

    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// The listener is no longer usable, or the system does not report which sockets are ready.
    pub(super) fn run(mut self) -> io::Result<()> {
        let (mut messages, mut events) = (Vec::new(), Events::new());
        while !self.stopping.is_some_and(|until| self.linger.is_empty() || self.now >= until) {
            // The next wait sees everything that had arrived by now, unless there is more than it returns.
            let asked = self.now;
            let is_due = self.orders.is_some() || asked >= self.next_tick;
            let timeout = if is_due { Some(Duration::ZERO) } else { self.timeout() };
            self.readiness.wait(&mut events, timeout)?;
            self.woken = Instant::now();
            self.now = self.clock.advance(self.woken, timeout);
            // An error means that the sender is gone, so nothing will change any more.
            if self.changes.has_changed().unwrap_or(false) {
                self.settings = *self.changes.borrow_and_update();
            }
            self.mailbox.take(&mut messages);
            for message in messages.drain(..) {
                self.read_message(message)?;
            }
            let mut somebody_comes = false;
            for event in events.iter() {
                somebody_comes |= self.notice(event);
            }
            self.go_on();
            H::flush(&mut self.sessions, &self.shared.services, &self.outbox);
            // Departures count before arrivals.
            if events.are_all() {
                self.looked();
            }
            self.decide(false);
            if somebody_comes {
                self.accept()?;
                self.begin_round();
            }
            self.resume_accepting()?;
            if is_due && self.scan.has_seen_all(&events, self.connections.len()) {
                self.judge(asked);
            } else if self.stopping.is_some() {
                self.linger.sweep(self.now);
            } else {
                self.linger.look_after_busy(self.now);
            }
            if self.connections.is_empty()
                && let Some(drained) = self.draining.take()
            {
                // The caller may have given up waiting.
                drained.send(()).ok();
            }
        }
        Ok(())
    }

    /// How long until there is something to do without any event.
    fn timeout(&mut self) -> Option<Duration> {
        if !self.again.is_empty() || self.asked.is_some() || !self.mailbox.fall_asleep() {
            return Some(Duration::ZERO);
        }
        let undecided = self.acceptor.as_mut().and_then(|acceptor| acceptor.undecided().pause(self.now));
        let until = |then: Instant| then.saturating_duration_since(self.now);
        let pause = self.acceptor.as_ref().and_then(Acceptor::paused_until).map(until);
        let memory_waiters = (!self.memory_waiters.is_empty()).then_some(MEMORY_PAUSE);
        let stopping = self.stopping.map(|_| STOPPING_PAUSE);
        let busy = self.linger.is_busy().then_some(BUSY_PAUSE);
        let ticks = !self.connections.is_empty()
            || self.has_room_to_give_back()
            || !self.linger.is_empty()
            || !self.pool.is_empty()
            || self.shared.turned_away.is_going_on()
            || self.shared.endings.is_going_on()
            || self.shared.services.has_news()
            || (self.number == 0 && self.shared.budget.is_paused());
        let tick = ticks.then(|| until(self.next_tick));
        [undecided, pause, memory_waiters, stopping, busy, tick].into_iter().flatten().min()
    }

    /// Records an event, and returns whether a client waits to be accepted.
    fn notice(&mut self, event: Event) -> bool {
        match event.key {
            WAKER => {}
            LISTENER => return true,
            key => {
                if let Some((token, side)) = Token::from_key(key)
                    && let Some(connection) = find(&mut self.connections, token)
                {
                    match side {
                        Side::Client => {
                            connection.noticed(event.ready);
                            if !connection.is_queued() {
                                self.give_turn(token, Connection::turn);
                            }
                        }
                        Side::Backend => {
                            self.give_turn(token, |connection, token, context| {
                                connection.backend_ready(event.ready, token, context)
                            });
                        }
                    }
                }
            }
        }
        false
    }

    /// All sockets were checked, and everything they had was taken in.
    fn looked(&mut self) {
        self.looks += 1;
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.undecided().looked();
        }
        self.answer_round();
    }

    /// How much memory all requests in flight may take before reading pauses.
    fn room(&self) -> Room {
        self.settings.room(self.shared.mailboxes.len())
    }

    fn coarse_now(&self) -> Ticks {
        Ticks::between(self.shared.started, self.now)
    }
}

fn find<H: Handler>(connections: &mut Slab<Connection<H>>, token: Token) -> Option<&mut Connection<H>> {
    let connection = connections.get_mut(token.index as usize)?;
    (Token::new(token.index as usize, connection.id()) == Some(token)).then_some(connection)
}
