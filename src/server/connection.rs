//! One client's connection, from its first byte to its end. Owns the permit, so that every way out frees
//! the place.
//!
//! A connection is moved on by its worker in [turns](Connection::turn): each goes as far as it can without
//! waiting, and says what the connection then waits for. In between it is a few words in the worker's
//! slab: no task, no timer, and no buffer unless it has begun a request.

mod offload;
mod parting;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::runtime::Handle;

use crate::auth::Account;
use crate::limiter::Permit;

use super::accept::Admitted;
use super::audit::Attempts;
use super::budget::{Asker, Budget, Charge, Grant, Room, Share};
use super::buffers::{Fill, Pool, Work};
use super::commits::Commits;
use super::counters::{LoginOutcome, Recorder};
use super::endings::Ending;
use super::linger::LONGEST;
use super::mailbox::{Mailbox, Token};
use super::memory_waiters::{Queues, WaiterKind};
use super::readiness::Readiness;
use super::requests::{Audit, Client, Step};
use super::roster::ConnectionInfo;
use super::ticks::Ticks;
use super::{ClientSettings, Services};

/// How long a client may read nothing of an answer.
const STALLED: Duration = Duration::from_secs(30);

/// How much a client is to send of a request, or to read of its answers, in a second while others wait for the
/// memory that it holds.
const LEAST_A_SECOND: u64 = 16 * 1024;

/// How long that is watched. The shorter time is for when not even small requests can be read.
const WATCHED: Duration = Duration::from_secs(2);
const WATCHED_BRIEFLY: Duration = Duration::from_millis(500);

/// Whoever has sent so much of its request that it was not read goes on, as far as it can.
const PLENTY: usize = 4096;
/// How long the store or an administrator's request may take until the client is told that there is no answer:
/// longer than any disk that comes back.
const LONGEST_OFFLOAD: Duration = Duration::from_secs(120);

/// One client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    state: State,
    /// There may be something to read.
    readable: bool,
    /// The client has sent its end of file, or the connection is broken: the last read says so.
    hung_up: bool,
    /// To be ended when its requests are answered.
    ending: bool,
    /// It will get a turn without being noticed: there is more to read.
    queued: bool,
    /// Where it waits for memory.
    memory_queues: Queues,
    /// The beginning of a request was seen, for which there was no memory.
    kept_waiting: bool,
    /// It has completed a request since it has last read. If it was granted an overdraft for that, others come first now.
    has_completed: bool,
    /// Whether room to send is watched for as well.
    watched_for_room: bool,
    client: Client,
    id: u64,
    peer: SocketAddr,
    connected: Ticks,
    /// Since when the client has kept us waiting: since it connected until it has logged in, then since
    /// its last request or the first byte of the next, or since it has last read some of its answers.
    since: Ticks,
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
    work: Option<Box<Work>>,
    /// Declared last: when its place is free, everything else of the connection is gone. `None` if the client has
    /// ended its side and only waits for a last answer, which takes no place.
    permit: Option<Permit>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The login line, a request, or the rest of one.
    Listening,
    /// The answer of somebody else: a login, a commit, an administrator's request.
    Awaiting,
    /// The client, to read what it was sent.
    Sending,
}

/// What a connection works with when it has its turn.
pub(super) struct TurnContext<'a> {
    pub(super) services: &'a Services,
    pub(super) attempts: &'a Attempts,
    pub(super) budget: &'a Budget,
    /// How much of the budget may be spent before reading pauses.
    pub(super) room: Room,
    /// Where what takes its time is done.
    pub(super) runtime: &'a Handle,
    pub(super) mailbox: &'a Arc<Mailbox>,
    pub(super) readiness: &'a Readiness,
    pub(super) pool: &'a mut Pool,
    pub(super) commits: &'a mut Commits,
    pub(super) recorder: &'a mut Recorder,
    pub(super) draining: bool,
    pub(super) now: Ticks,
    /// The same, exactly: since when the worker knows of what it works for.
    pub(super) woken: Instant,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The connection waits, and will be heard of.
    Waits,
    /// There may be more to read, but others come first.
    Again,
    /// There is no memory for what the client wants to say.
    NeedsMemory(Queues),
    /// The client has ended its side, and all that it still waits for is an answer. It needs no place for that.
    Parts,
    /// It is over.
    Over(Ending),
}

impl Connection {
    pub(super) fn new(arrival: Admitted, settings: &ClientSettings, now: Ticks) -> Self {
        let Admitted { id, socket, peer, permit } = arrival;
        Self {
            socket,
            state: State::Listening,
            readable: false,
            hung_up: false,
            ending: false,
            queued: false,
            memory_queues: Queues::default(),
            kept_waiting: false,
            has_completed: false,
            watched_for_room: false,
            client: Client::new(settings.max_request),
            id,
            peer,
            connected: now,
            since: now,
            requests: 0,
            bytes_in: 0,
            bytes_out: 0,
            work: None,
            permit: Some(permit),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Who the client is, if it has logged in.
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.client.account()
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether its last turn has ended with the promise of another soon.
    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    /// Notes what the system says of the socket.
    pub(super) fn noticed(&mut self, readable: bool, hung_up: bool) {
        self.readable |= readable;
        self.hung_up |= hung_up;
    }

    /// Whether it is in a queue of those that there is no memory for.
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

    /// Goes as far as it can without waiting.
    pub(super) fn turn(&mut self, token: Token, context: &mut TurnContext<'_>) -> Turn {
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

    fn is_guest(&self) -> bool {
        self.client.account().is_none()
    }

    /// Ends the connection when it is between requests, which may be now.
    pub(super) fn end(&mut self) -> bool {
        self.ending = true;
        self.is_between_requests()
    }

    /// Whether nothing that was read waits for its answer.
    pub(super) fn is_between_requests(&self) -> bool {
        self.state == State::Listening
    }

    /// Whether nothing is lost when it is closed at once: the client has had its time to read all answers, and has
    /// said nothing since.
    pub(super) fn is_quiet(&self, now: Ticks) -> bool {
        self.state == State::Listening
            && !self.readable
            && self.work.is_none()
            && now.since(self.since) > Ticks::count(LONGEST)
    }

    /// Why the connection is to be ended now, if the client has kept us waiting for too long.
    pub(super) fn overdue(&self, settings: &ClientSettings, now: Ticks) -> Option<Ending> {
        let (longest, ending) = match self.state {
            State::Awaiting if self.is_guest() => {
                let late = now.since(self.connected) > Ticks::count(settings.login_timeout);
                return late.then_some(Ending::LoginTimeout);
            }
            State::Awaiting => (Some(LONGEST_OFFLOAD), Ending::NoAnswer),
            State::Sending => (Some(STALLED), Ending::NotReading),
            State::Listening if self.is_guest() => (Some(settings.login_timeout), Ending::LoginTimeout),
            State::Listening if self.has_begun() || self.kept_waiting => {
                let longest = settings.idle_timeout.unwrap_or(Duration::MAX).min(settings.request_timeout);
                (Some(longest), Ending::TooSlow)
            }
            State::Listening => (settings.idle_timeout, Ending::IdleTimeout),
        };
        // The tick may have been nearly over when the waiting began: one more, so that nobody is early.
        longest.is_some_and(|longest| now.since(self.since) > Ticks::count(longest)).then_some(ending)
    }

    /// Why the connection is to be ended now, and what it holds, if it does not go on while others wait for
    /// memory. To be asked again and again as long as they do.
    pub(super) fn gives_way(&mut self, is_exhausted: bool, now: Ticks) -> Option<(Ending, Charge)> {
        let progress = self.bytes_in + self.bytes_out;
        let ending = match self.state {
            State::Awaiting => return None,
            State::Sending => Ending::NotReading,
            State::Listening => Ending::TooSlow,
        };
        let has_begun = self.has_begun();
        let work = self.work.as_mut()?;
        if self.state == State::Listening && (!has_begun || work.unread >= PLENTY) {
            work.mark = None;
            return None;
        }
        let watched = Ticks::count(if is_exhausted { WATCHED_BRIEFLY } else { WATCHED });
        let (since, before) = *work.mark.get_or_insert((now, progress));
        let took = now.since(since);
        if took < watched {
            return None;
        }
        work.mark = Some((now, progress));
        let least = LEAST_A_SECOND * Ticks::duration(took).as_millis() as u64 / 1000;
        (progress - before < least).then_some((ending, work.charged))
    }

    /// Whether a part of a request was read.
    fn has_begun(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.input.is_empty())
    }

    pub(super) fn info(&self, now: Ticks) -> ConnectionInfo {
        let idle = if self.state == State::Awaiting { 0 } else { now.since(self.since) };
        ConnectionInfo {
            id: self.id,
            peer: self.peer,
            account: self.client.account().cloned(),
            space: self.client.space().cloned(),
            age: Ticks::duration(now.since(self.connected)),
            idle: Ticks::duration(idle),
            requests: self.requests,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }

    /// Gives back what it holds, frees its place, and hands over the socket.
    pub(super) fn close(self, budget: &Budget, pool: &mut Pool) -> OwnedFd {
        let Self { socket, work, permit, id, memory_queues, .. } = self;
        if !memory_queues.is_empty() {
            budget.stop_waiting();
        }
        if let Some(work) = work {
            budget.recharge(work.charged, Charge::default());
            pool.give(work);
        }
        budget.end_overdraft(id);
        drop(permit);
        socket
    }

    fn go_on(&mut self, token: Token, context: &mut TurnContext<'_>) -> Result<Turn, Ending> {
        if self.state == State::Awaiting {
            return self.wait();
        }
        if self.state == State::Sending {
            if !self.send(token, context)? {
                return Ok(Turn::Waits);
            }
            // What came in behind those answers has waited for the client to read.
            if let Some(work) = &mut self.work {
                work.tally.begin(context.woken);
            }
        }
        let mut has_read = false;
        let audit = Audit { attempts: context.attempts, peer: self.peer };
        loop {
            // First what is there, then what may come.
            while let Some(work) = &mut self.work {
                let (step, handled) = self.client.advance(work, context.services, audit);
                self.requests += handled as u64;
                if handled > 0 {
                    self.since = context.now;
                    self.has_completed = true;
                }
                let reads_on = matches!(step, Step::Read);
                match step {
                    Step::Commit => {
                        self.commit(token, context);
                        return self.wait();
                    }
                    Step::Fetch => {
                        self.fetch(token, context);
                        return self.wait();
                    }
                    Step::Administer(request) => {
                        self.administer(*request, token, context);
                        return self.wait();
                    }
                    Step::LogIn(login) => {
                        if !self.log_in(login, token, context) {
                            return self.wait();
                        }
                        continue;
                    }
                    Step::Read | Step::Send => {}
                    Step::Close(ending) => {
                        work.last = Some(ending);
                        if self.client.account().is_none() {
                            context.recorder.login(LoginOutcome::Denied);
                        }
                    }
                }
                if !self.send(token, context)? {
                    return Ok(Turn::Waits);
                }
                if reads_on {
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
            // Only now, when the request that it was for is answered, and holds no memory any more.
            let had_overdraft = self.return_overdraft(context.budget);
            let is_guest = self.is_guest();
            let asker = match (is_guest, has_begun) {
                (true, _) => Asker::Guest,
                (false, false) => Asker::Fresh,
                (false, true) => Asker::Begun { may_overdraw: !had_overdraft },
            };
            let grant = context.budget.grant(context.room, self.id, asker);
            // A client that is gone holds no place: that much is read to find out.
            let grant = if grant == Grant::Nothing && self.hung_up { Grant::Lines } else { grant };
            if grant == Grant::Nothing || !self.read(grant, context)? {
                // What it holds without need, the overdraft among it, is what others may be waiting for.
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

    /// Reads once. `false` if there is no memory for what is there.
    fn read(&mut self, grant: Grant, context: &mut TurnContext<'_>) -> Result<bool, Ending> {
        let is_guest = self.is_guest();
        let work = self.work.get_or_insert_with(|| context.pool.take());
        let before = work.input.len();
        let filled = match grant {
            Grant::All => work.input.fill(&self.socket),
            // Of a client that may not get in, no more than its login.
            _ => work.input.fill_lines(&self.socket, is_guest),
        };
        work.unread = 0;
        if grant == Grant::All {
            work.from_reserve = false;
        } else if before == 0 {
            work.from_reserve = !is_guest;
        }
        match filled {
            Fill::More => {}
            Fill::Drained => self.readable = self.hung_up,
            Fill::Nothing => self.readable = false,
            Fill::Unfinished(unread) => {
                work.unread = unread;
                // The rest of the line will never come.
                return if self.hung_up && unread < PLENTY { Err(Ending::Client) } else { Ok(false) };
            }
            Fill::Closed(ending) => return Err(ending),
        }
        work.tally.begin(context.woken);
        let read = work.input.len() - before;
        self.bytes_in += read as u64;
        // Whoever sends its login or a request byte by byte gains no time by that.
        if before == 0 && !is_guest && !self.kept_waiting {
            self.since = context.now;
        }
        if read > 0 {
            self.kept_waiting = false;
        }
        Ok(true)
    }

    /// Keeps nothing that is not needed while the client is silent.
    fn rest(&mut self, context: &mut TurnContext<'_>) {
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

    /// Ends the overdraft if the request that it was for is completed. Whether it did.
    fn return_overdraft(&mut self, budget: &Budget) -> bool {
        std::mem::take(&mut self.has_completed) && budget.end_overdraft(self.id)
    }

    /// Sends what there is to be sent. `false` if the client must read before there is room for the rest.
    fn send(&mut self, token: Token, context: &mut TurnContext<'_>) -> Result<bool, Ending> {
        let sent = self.send_what_fits(token, context);
        if let Some(work) = &mut self.work {
            work.tally.count(context.recorder);
        }
        sent
    }

    fn send_what_fits(&mut self, token: Token, context: &TurnContext<'_>) -> Result<bool, Ending> {
        let Some(work) = &mut self.work else { return Ok(true) };
        // Announcing more makes the last line and the end of file travel in one segment.
        let flags =
            if work.last.is_some() { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        while let Some(rest @ [_, ..]) = work.output.get(work.sent..) {
            match send(&self.socket, rest, flags) {
                Ok(sent) => {
                    work.sent += sent;
                    self.bytes_out += sent as u64;
                    self.since = context.now;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if self.state != State::Sending {
                        (self.state, self.since) = (State::Sending, context.now);
                    }
                    if !self.watched_for_room {
                        context
                            .readiness
                            .watch_for_room(&self.socket, token.key())
                            .map_err(|_| Ending::Failed)?;
                        self.watched_for_room = true;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(Ending::of(error)),
            }
        }
        work.output.clear();
        work.sent = 0;
        self.state = State::Listening;
        if let Some(ending) = work.last {
            // Otherwise the last segment would wait for more. If it fails, the connection is gone.
            shutdown(&self.socket, Shutdown::Write).map_err(Ending::of)?;
            return Err(ending);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_connection_is_small() {
        assert!(size_of::<Connection>() <= 144, "{} bytes", size_of::<Connection>());
        assert_eq!(size_of::<Option<Connection>>(), size_of::<Connection>());
    }
}
