//! Clients that found no place free, until all earlier hang-ups are taken in.
//!
//! Before a client is rejected, each worker must have checked its sockets after the client was accepted: the accepting
//! worker with its next wait, which costs nothing, and the others in a round of messages. All clients that arrive
//! meanwhile are decided together, and rounds keep a distance, so that a storm of rejections costs the workers little.
//! No round is awaited for longer than [`MAX_WAIT`]: a worker that is busy for that long is no reason to leave clients
//! without an answer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::transport::Transport;

/// The most clients that wait at once.
const MOST: usize = 256;

/// The longest duration of a round: far longer than a round takes, and than other programs may keep a worker from a
/// processor.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// How long a client may wait for another round because clients ahead of it were admitted.
const LONGEST: Duration = Duration::from_millis(20);

/// The shortest time from the beginning of a round to that of the next.
const DISTANCE: Duration = Duration::from_millis(1);

/// Undecided clients, in the order of arrival.
#[derive(Debug)]
pub(super) struct Undecided {
    waiting: VecDeque<Waiting>,
    /// How often this worker has checked all its sockets.
    looks: u64,
    rounds: Rounds,
}

/// A waiting client.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    since: Instant,
    /// The check before the one that it waits for.
    look: u64,
    /// The round that it waits for.
    round: u64,
}

/// Rounds through the other workers, numbered from 1.
#[derive(Debug)]
struct Rounds {
    /// How many workers take part.
    workers: usize,
    /// The last round that has begun, and when it did.
    begun: u64,
    at: Option<Instant>,
    /// How many workers have not answered the last round.
    outstanding: usize,
}

impl Undecided {
    /// An empty list, on a worker beside which there are `others`.
    pub(super) fn new(others: usize) -> Self {
        let rounds = Rounds { workers: others, begun: 0, at: None, outstanding: 0 };
        Self { waiting: VecDeque::new(), looks: 0, rounds }
    }

    pub(super) fn push(&mut self, transport: Transport, peer: SocketAddr, since: Instant) {
        let (look, round) = (self.looks, self.rounds.next());
        self.waiting.push_back(Waiting { transport, peer, since, look, round });
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no more may be added until some are decided.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// This worker has checked all its sockets, and taken in what they had.
    pub(super) fn looked(&mut self) {
        self.looks += 1;
    }

    /// Another worker has done so in this round.
    pub(super) fn taken(&mut self, round: u64) {
        if round == self.rounds.begun {
            self.rounds.outstanding = self.rounds.outstanding.saturating_sub(1);
        }
    }

    /// The round to begin now, if any.
    pub(super) fn begin_round(&mut self, now: Instant) -> Option<u64> {
        let last = self.waiting.back()?;
        (last.round > self.rounds.begun && self.rounds.may_begin_at(now) <= now)
            .then(|| self.rounds.begin(now))
    }

    /// The next client to decide on, if its time has come or there is no other chance.
    pub(super) fn next(&mut self, now: Instant, is_last_chance: bool) -> Option<Waiting> {
        let first = self.waiting.front()?;
        let is_due = first.look < self.looks && first.round <= self.rounds.done(now);
        if is_due || is_last_chance { self.waiting.pop_front() } else { None }
    }

    /// Makes a client, which was the next, and all behind it wait for one more check. Returns the client if it has
    /// waited long enough.
    pub(super) fn wait_on(&mut self, client: Waiting, now: Instant) -> Result<(), Waiting> {
        if now >= client.since + LONGEST {
            return Err(client);
        }
        self.waiting.push_front(client);
        let (look, round) = (self.looks, self.rounds.next());
        for waiting in &mut self.waiting {
            (waiting.look, waiting.round) = (look, round);
        }
        Ok(())
    }

    /// How long until there is something to do here.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let first = self.waiting.front()?;
        let then = if first.look >= self.looks || first.round <= self.rounds.done(now) {
            now
        } else if first.round <= self.rounds.begun {
            self.rounds.over_at(now)
        } else {
            self.rounds.may_begin_at(now)
        };
        Some(then.saturating_duration_since(now))
    }
}

impl Rounds {
    /// The next round to begin, which is the first to see everything until now.
    fn next(&self) -> u64 {
        if self.workers == 0 { 0 } else { self.begun + 1 }
    }

    fn begin(&mut self, now: Instant) -> u64 {
        self.begun += 1;
        (self.at, self.outstanding) = (Some(now), self.workers);
        self.begun
    }

    /// The last round that is over.
    fn done(&self, now: Instant) -> u64 {
        if self.outstanding == 0 || self.over_at(now) <= now { self.begun } else { self.begun - 1 }
    }

    /// When the current round is no longer awaited.
    fn over_at(&self, now: Instant) -> Instant {
        self.at.map_or(now, |at| at + MAX_WAIT)
    }

    /// When the next round may begin.
    fn may_begin_at(&self, now: Instant) -> Instant {
        let over = if self.done(now) == self.begun { now } else { self.over_at(now) };
        self.at.map_or(now, |at| at + DISTANCE).max(over)
    }
}

impl Waiting {
    /// Whether the client is gone without having sent anything.
    pub(super) fn has_hung_up(&self) -> bool {
        match self.transport.peek_byte() {
            Ok(read) => read == 0,
            Err(error) => !matches!(error, Errno::AGAIN | Errno::INTR),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn client() -> (UnixStream, Transport, SocketAddr) {
        let (client, socket) = UnixStream::pair().unwrap();
        (client, OwnedFd::from(socket).into(), ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn alone_a_worker_looks_once() {
        let now = Instant::now();
        let mut undecided = Undecided::new(0);
        assert_eq!(undecided.pause(now), None);
        let (_client, socket, peer) = client();
        undecided.looked();
        undecided.push(socket, peer, now);
        assert!(undecided.next(now, false).is_none(), "it came after the look");
        assert_eq!(undecided.pause(now), Some(Duration::ZERO));
        assert_eq!(undecided.begin_round(now), None);
        undecided.looked();
        let client = undecided.next(now, false).unwrap();
        assert!(undecided.wait_on(client, now).is_ok());
        assert!(undecided.next(now, false).is_none());
        undecided.looked();
        let client = undecided.next(now, false).unwrap();
        assert!(undecided.wait_on(client, now + LONGEST).is_err(), "not for ever");
    }

    #[test]
    fn others_are_asked_once_for_all_who_wait_and_not_too_often() {
        let now = Instant::now();
        let mut undecided = Undecided::new(2);
        let (clients, sockets): (Vec<_>, Vec<_>) =
            (0..4).map(|_| client()).map(|(client, socket, _)| (client, socket)).unzip();
        let peer = ([127, 0, 0, 1], 1).into();
        let mut sockets = sockets.into_iter();
        undecided.push(sockets.next().unwrap(), peer, now);
        undecided.push(sockets.next().unwrap(), peer, now);
        assert_eq!(undecided.begin_round(now), Some(1));
        assert_eq!(undecided.begin_round(now), None);
        undecided.push(sockets.next().unwrap(), peer, now);
        undecided.looked();
        undecided.taken(1);
        assert!(undecided.next(now, false).is_none(), "one has not answered");
        undecided.taken(1);
        assert!(undecided.next(now, false).is_some() && undecided.next(now, false).is_some());
        assert!(undecided.next(now, false).is_none(), "the third came later");

        assert_eq!(undecided.begin_round(now), None);
        assert_eq!(undecided.pause(now), Some(DISTANCE));
        let now = now + DISTANCE;
        assert_eq!(undecided.begin_round(now), Some(2));
        undecided.taken(1);
        undecided.taken(2);
        assert!(undecided.next(now, false).is_none());
        assert_eq!(undecided.pause(now), Some(MAX_WAIT));
        assert!(undecided.next(now + MAX_WAIT, false).is_some(), "the other is not waited for any longer");

        undecided.push(sockets.next().unwrap(), peer, now);
        assert!(undecided.next(now, false).is_none() && undecided.next(now, true).is_some());
        drop(clients);
    }

    #[test]
    fn who_has_hung_up_is_known() {
        use std::io::Write as _;
        let now = Instant::now();
        let mut undecided = Undecided::new(0);
        let (gone, socket, peer) = client();
        drop(gone);
        undecided.push(socket, peer, now);
        let (silent, socket, peer) = client();
        undecided.push(socket, peer, now);
        let (mut has_spoken, socket, peer) = client();
        has_spoken.write_all(b"login").unwrap();
        has_spoken.shutdown(std::net::Shutdown::Write).unwrap();
        undecided.push(socket, peer, now);
        let gone: Vec<_> =
            std::iter::from_fn(|| undecided.next(now, true)).map(|client| client.has_hung_up()).collect();
        assert_eq!(gone, [true, false, false]);
        drop(silent);
    }
}
