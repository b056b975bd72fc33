//! Slows down who guesses passwords, by address.
//!
//! Attempts from an address that has failed too often get turns, further and further apart. Time
//! forgives: the count halves with every quiet [`HALF_LIFE`]. Other addresses are not affected.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 10;
/// The distance between turns after the first failure that is not free; doubled by each further.
const FIRST: Duration = Duration::from_millis(50);
/// The largest distance between turns.
const LARGEST: Duration = Duration::from_secs(2);
/// Whoever would wait longer for a turn gets none. More than twice the largest distance, so that
/// beside one program that never gives up there is always a turn to be had.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const HALF_LIFE: Duration = Duration::from_secs(60);
/// So many addresses are remembered; then those that failed least are forgotten.
const ADDRESSES: usize = 10_000;
/// At most one log line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Throttle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    addresses: HashMap<IpAddr, Record>,
    unlogged: u64,
    logged: Option<Instant>,
}

struct Record {
    failures: u32,
    last: Instant,
    /// When the next attempt may have its turn.
    next: Instant,
}

/// When an attempt may go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// At once.
    Now,
    /// Then.
    At(Instant),
    /// Not at all; it is to be refused then.
    Never(Instant),
}

impl Throttle {
    /// Gives an attempt from `peer` its turn.
    pub(super) fn turn(&self, peer: IpAddr) -> Turn {
        let now = Instant::now();
        let mut state = self.state();
        let Some(record) = state.addresses.get_mut(&network(peer)) else { return Turn::Now };
        let distance = distance(record.failures_at(now));
        if distance.is_zero() {
            return Turn::Now;
        }
        let turn = record.next.max(now);
        if turn > now + LONGEST_WAIT {
            return Turn::Never(now + LONGEST_WAIT);
        }
        record.next = turn + distance;
        if turn == now { Turn::Now } else { Turn::At(turn) }
    }

    /// An attempt from `peer` has failed.
    pub(super) fn failed(&self, peer: IpAddr) {
        let now = Instant::now();
        let mut state = self.state();
        state.make_room(now);
        let record =
            state.addresses.entry(network(peer)).or_insert(Record { failures: 0, last: now, next: now });
        record.failures = record.failures_at(now).saturating_add(1);
        record.last = now;
        record.next = record.next.max(now + distance(record.failures));
        let failures = record.failures;
        state.unlogged += 1;
        if state.logged.is_none_or(|logged| now >= logged + LOG_INTERVAL) {
            tracing::warn!(
                address = %peer,
                recent_failures = failures,
                since_last_line = state.unlogged,
                slowed = failures > FREE,
                "failed logins",
            );
            state.logged = Some(now);
            state.unlogged = 0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < ADDRESSES {
            return;
        }
        self.addresses.retain(|_, record| record.failures_at(now) > 0);
        // Half of them, so that this is done seldom.
        if self.addresses.len() >= ADDRESSES {
            let mut failures: Vec<_> =
                self.addresses.values().map(|record| record.failures_at(now)).collect();
            let (_, &mut median, _) = failures.select_nth_unstable(ADDRESSES / 2);
            self.addresses.retain(|_, record| record.failures_at(now) > median);
        }
    }
}

impl Record {
    fn failures_at(&self, now: Instant) -> u32 {
        let half_lives = now.saturating_duration_since(self.last).as_secs() / HALF_LIFE.as_secs();
        u32::try_from(half_lives).ok().and_then(|shift| self.failures.checked_shr(shift)).unwrap_or(0)
    }
}

fn distance(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LARGEST),
    }
}

/// Whoever has one IPv6 address has the other 2^64 of its network, too.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn fail(throttle: &Throttle, times: u32) {
        for _ in 0..times {
            throttle.failed(A);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failures_are_free() {
        let throttle = Throttle::default();
        fail(&throttle, FREE);
        assert_eq!(throttle.turn(A), Turn::Now);
        assert_eq!(throttle.turn(A), Turn::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn then_turns_come_further_and_further_apart() {
        let throttle = Throttle::default();
        let start = Instant::now();
        fail(&throttle, FREE + 1);
        assert_eq!(throttle.turn(A), Turn::At(start + FIRST));
        assert_eq!(throttle.turn(A), Turn::At(start + FIRST * 2));
        fail(&throttle, 1);
        assert_eq!(throttle.turn(A), Turn::At(start + FIRST * 3));
        assert_eq!(throttle.turn(A), Turn::At(start + FIRST * 5));
        assert_eq!(throttle.turn(B), Turn::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn the_distance_has_an_end_and_so_has_the_queue() {
        let throttle = Throttle::default();
        let start = Instant::now();
        fail(&throttle, 1000);
        assert_eq!(throttle.turn(A), Turn::At(start + LARGEST));
        assert_eq!(throttle.turn(A), Turn::At(start + LARGEST * 2));
        assert_eq!(throttle.turn(A), Turn::Never(start + LONGEST_WAIT));
        assert_eq!(throttle.turn(A), Turn::Never(start + LONGEST_WAIT));
    }

    #[tokio::test(start_paused = true)]
    async fn time_forgives() {
        let throttle = Throttle::default();
        fail(&throttle, 2 * FREE);
        tokio::time::advance(HALF_LIFE).await;
        assert_eq!(throttle.turn(A), Turn::Now);
        tokio::time::advance(HALF_LIFE * 40).await;
        throttle.failed(A);
        assert_eq!(throttle.turn(A), Turn::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_worst_are_remembered() {
        let throttle = Throttle::default();
        fail(&throttle, 100);
        for bits in 0..3 * ADDRESSES as u32 {
            throttle.failed(std::net::Ipv4Addr::from_bits(bits).into());
        }
        assert!(throttle.state().addresses.len() <= ADDRESSES);
        assert_ne!(throttle.turn(A), Turn::Now);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(network(one), network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(network(one), network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), A);
    }
}
