//! A thread that serves connections: waits for any of them to have something to do, and gives each its turn.
//!
//! A worker owns its connections: nobody else touches them, so nothing here is locked. It never waits
//! for anything but its readiness: what takes its time is done elsewhere, and comes back through the
//! [mailbox](super::mailbox). The first worker accepts as well.

mod accepting;
mod messages;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::{oneshot, watch};

use crate::protocol::{Refusal, Reply};
use crate::store::{Outcome, StoreError};

use super::accept::Acceptor;
use super::budget::Room;
use super::buffers::Pool;
use super::commits::Commits;
use super::connection::{Connection, Turn, TurnContext};
use super::counters::Recorder;
use super::endings::{self, Ending, Manner};
use super::linger::{BUSY_PAUSE, Linger, MAX_LINGERING};
use super::mailbox::{Finished, Mailbox, Token};
use super::memory_waiters::MemoryWaiters;
use super::readiness::{Event, Events, Readiness};
use super::ticks::{Clock, Ticks};
use super::{ClientSettings, Shared};

/// Connections accepted before others get their turn.
const BATCH: usize = 64;

/// Between two looks at what may be overdue, or has lingered for long enough.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two summaries of rejections: one second.
const TICKS_A_SUMMARY: u32 = 4;

/// Ticks between two summaries of endings.
const TICKS_TO_ENDINGS: u32 = (endings::INTERVAL.as_millis() / TICK.as_millis()) as u32;

/// Until it is looked again whether there is memory for those that wait: other workers give some back, too.
const MEMORY_PAUSE: Duration = Duration::from_millis(5);

/// The same for sockets that linger when the thread is to end.
const STOPPING_PAUSE: Duration = Duration::from_millis(10);

/// Below this many places it is not worth while to give any back.
const LEAST_ROOM: usize = 64;

/// Keys of what is not a connection. No connection's index is that large.
const WAKER: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// One thread's share of the connections.
pub(super) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    settings: ClientSettings,
    changes: watch::Receiver<ClientSettings>,
    readiness: Readiness,
    connections: Slab<Connection>,
    acceptor: Option<Acceptor>,
    linger: Linger,
    pool: Pool,
    commits: Commits,
    recorder: Recorder,
    /// Connections that have more to read.
    again: VecDeque<Token>,
    /// Connections that there was no memory for.
    memory_waiters: MemoryWaiters,
    /// How many connections there were, and how much room, after room was last given back.
    gave_back: (usize, usize),
    next_tick: Instant,
    ticks: u32,
    /// When the last wait has ended, by `clock`.
    now: Instant,
    /// The same, by the system's clock.
    woken: Instant,
    clock: Clock,
    scan: Scan,
    orders: Option<Orders>,
    draining: Option<oneshot::Sender<()>>,
    drains: bool,
    /// How often all sockets were looked at, and all that they had was taken in.
    looks: u64,
    /// The round in which another worker has asked for such a look, and how many there had been by then.
    asked: Option<(u64, u64)>,
    /// Until when sockets may linger that do so when the thread is to end.
    stopping: Option<Instant>,
}

/// What is to be done as soon as all that has come in is looked at.
#[derive(Debug, Default)]
struct Orders {
    drain: Option<oneshot::Sender<()>>,
    cut: Option<oneshot::Sender<usize>>,
}

/// Whether all sockets that had something to say have been looked at.
#[derive(Debug, Default)]
struct Scan {
    /// Waits in a row that may have left some out.
    incomplete: usize,
}

impl Scan {
    /// Notes what a wait has returned. Those that are ready take turns, so that no more waits are needed than
    /// it takes to return all connections.
    fn has_seen_all(&mut self, events: &Events, connections: usize) -> bool {
        if events.are_all() || self.incomplete > connections / events.most() {
            self.incomplete = 0;
            return true;
        }
        self.incomplete += usize::from(events.is_full());
        false
    }
}

impl Worker {
    /// Worker `number`, which accepts if it is given a listener.
    pub(super) fn new(number: usize, shared: &Arc<Shared>, acceptor: Option<Acceptor>) -> io::Result<Self> {
        let Some(mailbox) = shared.mailboxes.get(number).cloned() else {
            return Err(io::Error::other("there is no mailbox for this worker"));
        };
        let readiness = Readiness::new()?;
        mailbox.waker().register(&readiness, WAKER)?;
        if let Some(acceptor) = &acceptor {
            readiness.watch_listener(acceptor.listener(), LISTENER)?;
        }
        let now = Instant::now();
        let mut changes = shared.services.settings.clone();
        let settings = *changes.borrow_and_update();
        Ok(Self {
            settings,
            changes,
            number,
            shared: Arc::clone(shared),
            mailbox,
            readiness,
            connections: Slab::new(),
            acceptor,
            linger: Linger::new(Arc::clone(&shared.lingering)),
            pool: Pool::default(),
            commits: Commits::default(),
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
    /// The listener is of no use any more, or the system does not say what is ready.
    pub(super) fn run(mut self) -> io::Result<()> {
        let (mut messages, mut events) = (Vec::new(), Events::new());
        while !self.stopping.is_some_and(|until| self.linger.is_empty() || self.now >= until) {
            // What had come in by now is seen by the wait that follows, unless there is more than it returns.
            let asked = self.now;
            let is_due = self.orders.is_some() || asked >= self.next_tick;
            let timeout = if is_due { Some(Duration::ZERO) } else { self.timeout() };
            self.readiness.wait(&mut events, timeout)?;
            self.woken = Instant::now();
            self.now = self.clock.advance(self.woken, timeout);
            // An error says that nobody will change them any more.
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
            self.submit();
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
                // Whoever asked may have given up waiting.
                drained.send(()).ok();
            }
        }
        Ok(())
    }

    /// How long there is nothing to do if nothing happens.
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
            || self.shared.attempts.is_going_on()
            || (self.number == 0 && self.shared.budget.is_paused());
        let tick = ticks.then(|| until(self.next_tick));
        [undecided, pause, memory_waiters, stopping, busy, tick].into_iter().flatten().min()
    }

    /// Notes what has happened. Whether somebody waits to be accepted.
    fn notice(&mut self, event: Event) -> bool {
        match event.key {
            WAKER => {}
            LISTENER => return true,
            key => {
                if let Some(token) = Token::from_key(key)
                    && let Some(connection) = find(&mut self.connections, token)
                {
                    connection.noticed(event.readable, event.hung_up);
                    if !connection.is_queued() {
                        self.give_turn(token, Connection::turn);
                    }
                }
            }
        }
        false
    }

    /// All sockets were looked at, and all that they had was taken in.
    fn looked(&mut self) {
        self.looks += 1;
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.undecided().looked();
        }
        self.answer_round();
    }

    fn committed(&mut self, token: Token, outcomes: Result<&[Outcome], &StoreError>) {
        self.give_turn(token, |connection, token, context| connection.committed(outcomes, token, context));
    }

    fn finished(&mut self, token: Token, finished: Finished) {
        self.give_turn(token, |connection, token, context| connection.finished(finished, token, context));
    }

    /// Those that have more to read, and those that there is memory for by now. None of them twice.
    fn go_on(&mut self) {
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
    fn give_turn(
        &mut self,
        token: Token,
        turn: impl FnOnce(&mut Connection, Token, &mut TurnContext<'_>) -> Turn,
    ) {
        let (now, room) = (self.coarse_now(), self.room());
        let Some(connection) = find(&mut self.connections, token) else { return };
        let mut context = TurnContext {
            services: &self.shared.services,
            attempts: &self.shared.attempts,
            budget: &self.shared.budget,
            room,
            runtime: &self.shared.runtime,
            mailbox: &self.mailbox,
            readiness: &self.readiness,
            pool: &mut self.pool,
            commits: &mut self.commits,
            recorder: &mut self.recorder,
            draining: self.drains,
            now,
            woken: self.woken,
        };
        // Sound: after a panic nothing of the connection is looked at again but its socket, permit and
        // buffers, and what it shares with others is left whole.
        let turn = catch_unwind(AssertUnwindSafe(|| turn(connection, token, &mut context)));
        match turn {
            Ok(Turn::Waits) => {}
            Ok(Turn::Again) => self.again.push_back(token),
            Ok(Turn::NeedsMemory(queues)) => self.memory_waiters.push(token, queues),
            Ok(Turn::Parts) => self.part(token),
            Ok(Turn::Over(ending)) => self.remove(token.index as usize, ending),
            Err(_) => self.remove(token.index as usize, Ending::Failed),
        }
        if self.commits.is_full() {
            self.submit();
        }
    }

    fn submit(&mut self) {
        self.commits.submit(&self.shared.services.store, &self.mailbox);
    }

    /// Has a connection give its place up that only waits for its last answer. It is counted with those that
    /// linger, and bound as they are.
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

    /// Ends those that only wait for their last answer, since there are no descriptors. Whether there were any.
    fn cut_parted(&mut self) -> bool {
        let before = self.connections.len();
        self.end_those(|connection| connection.has_parted().then_some(Ending::Client));
        self.connections.len() < before
    }

    fn remove(&mut self, index: usize, ending: Ending) {
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
        let user = connection.account().map(|account| account.username.as_str());
        if has_parted {
            // It was counted when it gave its place up.
            self.shared.lingering.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.shared.endings.note(ending, peer, user);
            // Before its place is free, so that whoever sees that it is finds it counted.
            self.recorder.ended(ending);
        }
        let socket = connection.close(&self.shared.budget, &mut self.pool);
        self.mailbox.take_load();
        match ending.manner() {
            Manner::AtOnce => {}
            Manner::WithLastLine => {
                let mut line = Vec::new();
                Reply::from(Refusal::TooSlow { longest: self.settings.request_timeout }).render(&mut line);
                self.linger.farewell(socket, &line, self.now);
            }
            // Who lingers takes no place from others.
            Manner::AfterLastLine => self.linger.keep(socket, self.now),
            // A drain need not wait for those who have slept for long, and may be many.
            Manner::AfterAnswers if is_quiet => {}
            Manner::AfterAnswers => self.linger.end(socket, self.now),
        }
    }

    /// Does what must not be done before all that had come in at `asked` is looked at: nobody is cut off whose
    /// request is there.
    fn judge(&mut self, asked: Instant) {
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
        self.shared.services.store.look_after_fetches();
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
            self.shared.attempts.log();
        }
    }

    /// Whether connections that are gone have left much room behind, and anything has changed since it was last
    /// given back: what one of them holds at the end cannot be.
    fn has_room_to_give_back(&self) -> bool {
        let (open, room) = (self.connections.len(), self.connections.capacity());
        room > LEAST_ROOM && open < room / 4 && (open, room) != self.gave_back
    }

    /// Ends connections that hold memory and do not go on, the largest first, until there is room for those
    /// that wait.
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
        // A part of it, so that this is not for one request only.
        let part = |most: usize| most - most / 8;
        let wanted =
            Room { free: part(room.free), guests: part(room.guests), reserve: part(room.reserve), ..room };
        for (.., share, index, ending) in slow {
            if !budget.has_room(wanted, share) {
                self.remove(index, ending);
            }
        }
    }

    /// How much memory all requests in flight may take before reading pauses.
    fn room(&self) -> Room {
        self.settings.room(self.shared.mailboxes.len())
    }

    fn coarse_now(&self) -> Ticks {
        Ticks::between(self.shared.started, self.now)
    }
}

fn find(connections: &mut Slab<Connection>, token: Token) -> Option<&mut Connection> {
    let connection = connections.get_mut(token.index as usize)?;
    (Token::new(token.index as usize, connection.id()) == Some(token)).then_some(connection)
}
