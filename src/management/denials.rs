//! Requests without the right token: their number, and their lines in the log.
//!
//! A client that guesses tokens, or scrapes with an outdated one, sends many such requests. The first is logged at
//! once. While they go on, further ones are logged as totals: after a second, then after twice as long each time, up to
//! a minute. So there is never a line for each request, and an attack is never silent.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::unpoisoned::Unpoisoned as _;

/// The shortest time from one line to the next, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After this long without any, the next counts as a first one again.
const QUIET: Duration = Duration::from_secs(300);

/// The most addresses that a line names.
const NAMED: usize = 4;

/// Why a request was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It carries another token than the one in force.
    WrongToken,
    /// It carries none, or not as a bearer token.
    NoToken,
}

/// How many requests were denied, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Denied {
    /// For [`Reason::WrongToken`].
    pub wrong_token: u64,
    /// For [`Reason::NoToken`].
    pub no_token: u64,
}

/// Requests that were denied since the start.
#[derive(Debug, Default)]
pub struct Denials {
    state: Mutex<State>,
    /// Notified when there is something to log.
    waiting: Notify,
}

#[derive(Debug, Default)]
struct State {
    total: Denied,
    unlogged: Unlogged,
    /// When the last request was denied.
    last: Option<Instant>,
    /// When the next line may be written, and the pause after it.
    next_line: Option<Instant>,
    pause: Duration,
}

/// The content of the next line.
#[derive(Debug, Default)]
struct Unlogged {
    denied: Denied,
    addresses: BTreeSet<IpAddr>,
    /// Whether there were more addresses than are named.
    others: bool,
    last: Option<SocketAddr>,
}

impl Denials {
    /// How many there were in all.
    pub fn total(&self) -> Denied {
        self.state().total
    }

    /// Counts a request from `peer`, and logs it now or later.
    pub(super) fn count(&self, reason: Reason, peer: SocketAddr) {
        if self.state().count(reason, peer, Instant::now()) {
            let why = match reason {
                Reason::WrongToken => "a wrong token",
                Reason::NoToken => "no token",
            };
            tracing::warn!(%peer, "a request to the management API from {peer} was refused: it carried {why}");
        } else {
            self.waiting.notify_one();
        }
    }

    /// Logs totals as they become due. The server of the API has to poll it.
    pub(super) async fn log(&self) -> Infallible {
        loop {
            self.waiting.notified().await;
            let due = self.state().next_line;
            if let Some(due) = due {
                sleep_until(due).await;
            }
            self.log_the_rest();
        }
    }

    /// Logs the remaining totals, due or not.
    pub(super) fn log_the_rest(&self) {
        let taken = self.state().take(Instant::now());
        if let Some(unlogged) = taken {
            let Denied { wrong_token, no_token } = unlogged.denied;
            tracing::warn!(wrong_token, no_token, "{unlogged}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    /// Whether to log it by itself, now.
    fn count(&mut self, reason: Reason, peer: SocketAddr, now: Instant) -> bool {
        self.total.add(reason);
        let is_first = self.last.is_none_or(|last| now >= last + QUIET);
        self.last = Some(now);
        if is_first {
            self.pause = FIRST_PAUSE;
            self.next_line = Some(now + self.pause);
        } else {
            self.unlogged.add(reason, peer);
        }
        is_first
    }

    /// What to log now, if anything.
    fn take(&mut self, now: Instant) -> Option<Unlogged> {
        self.unlogged.last?;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.next_line = Some(now + self.pause);
        Some(std::mem::take(&mut self.unlogged))
    }
}

impl Denied {
    fn add(&mut self, reason: Reason) {
        match reason {
            Reason::WrongToken => self.wrong_token += 1,
            Reason::NoToken => self.no_token += 1,
        }
    }
}

impl Unlogged {
    fn add(&mut self, reason: Reason, peer: SocketAddr) {
        self.denied.add(reason);
        self.last = Some(peer);
        if self.addresses.len() < NAMED || self.addresses.contains(&peer.ip()) {
            self.addresses.insert(peer.ip());
        } else {
            self.others = true;
        }
    }
}

impl fmt::Display for Unlogged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denied { wrong_token, no_token } = self.denied;
        let (all, were) = (wrong_token + no_token, if wrong_token + no_token == 1 { "was" } else { "were" });
        write!(f, "{all} more to the management API {were} refused ({wrong_token} with a wrong token, ")?;
        write!(f, "{no_token} without one), from ")?;
        for (number, address) in self.addresses.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        if self.others {
            f.write_str(" and others")?;
        }
        self.last.map_or(Ok(()), |last| write!(f, ", last from {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: u8, port: u16) -> SocketAddr {
        ([127, 0, 0, host], port).into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_rest_in_totals() {
        let mut state = State::default();
        let start = Instant::now();
        assert!(state.count(Reason::WrongToken, peer(1, 7), start));
        assert!(state.take(start).is_none());
        assert!(!state.count(Reason::WrongToken, peer(1, 8), start));
        assert!(!state.count(Reason::NoToken, peer(1, 9), start));
        let line = state.take(start).unwrap().to_string();
        assert_eq!(
            line,
            "2 more to the management API were refused (1 with a wrong token, 1 without one), \
             from 127.0.0.1, last from 127.0.0.1:9"
        );
        assert!(state.take(start).is_none());
        assert_eq!(state.total, Denied { wrong_token: 2, no_token: 1 });
    }

    #[test]
    fn a_line_names_few_addresses() {
        let mut unlogged = Unlogged::default();
        for host in (1..=9).chain([1]) {
            unlogged.add(Reason::WrongToken, peer(host, 5));
        }
        let line = unlogged.to_string();
        let tail = "from 127.0.0.1, 127.0.0.2, 127.0.0.3, 127.0.0.4 and others, last from 127.0.0.1:5";
        assert!(line.starts_with("10 more ") && line.ends_with(tail), "{line}");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_further_and_further_apart_while_it_goes_on() {
        let mut state = State::default();
        let start = Instant::now();
        state.count(Reason::NoToken, peer(1, 1), start);
        let mut pauses = Vec::new();
        let mut now = start;
        for _ in 0..8 {
            let due = state.next_line.unwrap();
            pauses.push((due - now).as_secs());
            now = due;
            state.count(Reason::NoToken, peer(1, 1), now);
            state.take(now).unwrap();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(!state.count(Reason::NoToken, peer(1, 1), now + QUIET - Duration::from_nanos(1)));
        state.take(now).unwrap();
        assert!(state.count(Reason::NoToken, peer(1, 1), now + QUIET * 2), "it was quiet");
        assert_eq!(state.next_line, Some(now + QUIET * 2 + FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_is_logged_when_it_is_due_and_not_before() {
        let denials = Denials::default();
        let start = Instant::now();
        denials.count(Reason::WrongToken, peer(1, 1));
        denials.count(Reason::WrongToken, peer(1, 2));
        let logged = async {
            while denials.state().unlogged.last.is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            never = denials.log() => match never {},
            () = logged => {}
        }
        let took = start.elapsed();
        assert!((FIRST_PAUSE..FIRST_PAUSE * 2).contains(&took), "{took:?}");
    }
}
