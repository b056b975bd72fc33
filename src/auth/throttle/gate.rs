//! A gate for attempts: some pass at once, the others in turns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::proof::Mac;
use super::HALF_LIFE;
use crate::unpoisoned::Unpoisoned as _;

/// How many wrong passwords are remembered.
const REMEMBERED: usize = 8;

/// How fast attempts pass a gate.
#[derive(Debug)]
pub(super) struct Pace {
    /// Failures that cost nothing, those under way included.
    pub(super) free: u32,
    /// The distance between turns after the first failure that is not free; each further one doubles it.
    pub(super) first: Duration,
    /// The largest distance.
    pub(super) largest: Duration,
    /// How many may wait for a turn.
    pub(super) most_waiting: usize,
}

#[derive(Debug)]
pub(super) struct Gate {
    pace: &'static Pace,
    tally: Mutex<Tally>,
    /// Its holder has the next turn; the others wait for it in the order of arrival.
    head: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    /// Notifies the head of the queue that an attempt has ended.
    ended: Notify,
}

#[derive(Debug)]
struct Tally {
    failures: u32,
    /// When the last of them happened.
    last: Instant,
    under_way: u32,
    /// When the next attempt may have its turn.
    next: Instant,
    /// The last wrong passwords, as parts of their keyed hashes.
    wrong: Vec<[u8; 16]>,
}

/// An attempt that has passed, and is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    wrong: Option<Mac>,
}

/// What the head of the queue has to wait for.
enum Wait {
    Until(Instant),
    ForAnEnd,
}

/// Counts one waiting attempt.
struct Waiting<'a>(&'a AtomicUsize);

impl Gate {
    pub(super) fn new(pace: &'static Pace) -> Self {
        let now = Instant::now();
        let tally = Tally { failures: 0, last: now, under_way: 0, next: now, wrong: Vec::new() };
        Self {
            pace,
            tally: Mutex::new(tally),
            head: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            ended: Notify::new(),
        }
    }

    /// Waits for a turn. `None` if too many others do.
    pub(super) async fn pass(self: Arc<Self>) -> Option<Pass> {
        // Never ahead of those already waiting.
        if self.waiting.load(Ordering::Relaxed) == 0 && self.tally().go(self.pace).is_ok() {
            return Some(Pass { gate: self, wrong: None });
        }
        let waiting = Waiting::join(&self.waiting, self.pace.most_waiting)?;
        let head = self.head.lock().await;
        loop {
            let wait = self.tally().go(self.pace);
            match wait {
                Ok(()) => break,
                Err(Wait::Until(turn)) => sleep_until(turn).await,
                Err(Wait::ForAnEnd) => self.ended.notified().await,
            }
        }
        drop(head);
        drop(waiting);
        Some(Pass { gate: self, wrong: None })
    }

    /// How many attempts have failed, less those that have decayed.
    pub(super) fn failures(&self) -> u32 {
        self.tally().failures_at(Instant::now())
    }

    /// Whether `password` was tried here and is wrong, once attempts have to wait for their turns; and how
    /// long to delay the answer.
    pub(super) fn knows_as_wrong(&self, password: &Mac) -> Option<Duration> {
        let tally = self.tally();
        let failures = tally.failures_at(Instant::now());
        (failures >= self.pace.free && tally.wrong.contains(&shortened(password)))
            .then(|| self.pace.distance(failures).max(self.pace.first))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unpoisoned()
    }
}

impl Tally {
    /// Lets one more attempt pass, or returns what to wait for.
    fn go(&mut self, pace: &Pace) -> Result<(), Wait> {
        let now = Instant::now();
        if self.failures_at(now).saturating_add(self.under_way) >= pace.free {
            if self.under_way > 0 {
                return Err(Wait::ForAnEnd);
            }
            if now < self.next {
                return Err(Wait::Until(self.next));
            }
        }
        self.under_way += 1;
        Ok(())
    }

    fn end(&mut self, pace: &Pace, wrong: Option<&Mac>) {
        self.under_way -= 1;
        let Some(password) = wrong else { return };
        let now = Instant::now();
        self.failures = self.failures_at(now).saturating_add(1);
        self.last = now;
        self.next = self.next.max(now + pace.distance(self.failures));
        if self.wrong.len() >= REMEMBERED {
            self.wrong.remove(0);
        }
        self.wrong.push(shortened(password));
    }

    fn failures_at(&self, now: Instant) -> u32 {
        let half_lives = now.saturating_duration_since(self.last).as_secs() / HALF_LIFE.as_secs();
        u32::try_from(half_lives).ok().and_then(|shift| self.failures.checked_shr(shift)).unwrap_or(0)
    }
}

impl Pace {
    fn distance(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(2u32.saturating_pow(doublings)).min(self.largest),
        }
    }
}

impl Pass {
    /// The attempt has failed, with this password.
    pub(super) fn failed(&mut self, password: Mac) {
        self.wrong = Some(password);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.tally().end(self.gate.pace, self.wrong.as_ref());
        self.gate.ended.notify_one();
    }
}

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < most {
            Some(Self(count))
        } else {
            count.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Half of it is enough to tell passwords apart.
fn shortened(password: &Mac) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&password[..16]);
    half
}
