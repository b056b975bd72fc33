//! Slows down password guessing.
//!
//! Attempts are counted twice: by user and network address together, and more loosely by the address alone.
//!
//! - **By user and address.** Ten failures are free; then attempts get turns, further and further apart. An
//!   attempt under way counts as a failure until its password has proved right, so guesses sent at once gain
//!   nothing over guesses sent one by one. Only a few may wait for a turn: the others are refused at once, with
//!   a message other than that of a wrong password. Other users of the same address are not affected.
//! - **By address.** The same over all users, with turns so close together that they delay a right password
//!   but do not deny it. This slows a guesser who tries many names.
//!
//! A password that was recently found wrong is not verified again: programs that keep using an old
//! password are refused after a pause, and take no turn from the right one.
//!
//! A count halves with every quiet [`HALF_LIFE`].

mod gate;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::proof::Mac;
use crate::unpoisoned::Unpoisoned as _;
use gate::{Gate, Pace, Pass};

/// Failures that cost nothing: people mistype.
const FREE: u32 = 10;
/// The distance between turns after the first failure that is not free; each further one doubles it.
const FIRST: Duration = Duration::from_millis(50);
/// A count halves in this time without another failure.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// One user from one address. The last that may wait has its turn before the usual `login_timeout` is over.
static BY_USER: Pace = Pace { free: FREE, first: FIRST, largest: Duration::from_secs(2), most_waiting: 4 };
/// All users from one address. The same holds for the last of a hundred.
static BY_ADDRESS: Pace =
    Pace { free: FREE, first: FIRST, largest: Duration::from_millis(80), most_waiting: 100 };

/// How many pairs of user and address are remembered, and how many addresses; beyond that, those with the fewest
/// failures are dropped.
const PAIRS: usize = 20_000;
const ADDRESSES: usize = 10_000;
/// At most one log line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    state: Mutex<State>,
    /// Users are kept as keyed hashes of their names, since a guesser can send names of any length.
    names: RandomState,
}

#[derive(Debug, Default)]
struct State {
    pairs: HashMap<Pair, Arc<Gate>>,
    addresses: HashMap<IpAddr, Arc<Gate>>,
    unlogged: u64,
    logged: Option<Instant>,
}

/// A network address, and the hash of a user's name.
type Pair = (IpAddr, u64);

/// The answer to an attempt that requests a turn.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// Its password may be verified.
    Now(Attempt<'a>),
    /// Its password is known to be wrong.
    KnownWrong,
    /// No turn: too many others wait.
    Never,
}

/// An attempt, under way until this is dropped. Until then it counts as a failure, afterwards only if it has
/// [failed](Attempt::failed).
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    passes: Vec<Pass>,
}

impl Throttle {
    /// Waits for the turn of an attempt to log in as `username` from `peer`. `password` stands for the
    /// password and everything it is verified against.
    pub(super) async fn turn(&self, peer: IpAddr, username: &str, password: &Mac) -> Turn<'_> {
        let pair = self.pair(peer, username);
        let mut attempt = Attempt { throttle: self, pair, passes: Vec::with_capacity(2) };
        let gate = find(&mut self.state().pairs, pair, PAIRS, &BY_USER);
        if let Some(pause) = gate.knows_as_wrong(password) {
            sleep(pause).await;
            return Turn::KnownWrong;
        }
        let Some(pass) = gate.pass().await else { return Turn::Never };
        attempt.passes.push(pass);
        let gate = find(&mut self.state().addresses, pair.0, ADDRESSES, &BY_ADDRESS);
        let Some(pass) = gate.pass().await else { return Turn::Never };
        attempt.passes.push(pass);
        Turn::Now(attempt)
    }

    /// Logs that a login as `username` from `peer` was refused, or counts it for the next line.
    pub(super) fn log_failure(&self, peer: IpAddr, username: &str) {
        let (now, pair) = (Instant::now(), self.pair(peer, username));
        let mut state = self.state();
        state.unlogged += 1;
        if state.logged.is_some_and(|logged| now < logged + LOG_INTERVAL) {
            return;
        }
        let failures = state.pairs.get(&pair).map_or(0, |gate| gate.failures());
        let since_last_line = std::mem::take(&mut state.unlogged);
        state.logged = Some(now);
        drop(state);
        let slowed = failures > FREE;
        let pace = if slowed { ", further attempts are delayed" } else { "" };
        tracing::warn!(
            address = %peer,
            recent_failures = failures,
            since_last_line,
            slowed,
            "failed login from {peer} ({failures} recently{pace}); {since_last_line} from all addresses since the \
             last report"
        );
    }

    fn pair(&self, peer: IpAddr, username: &str) -> Pair {
        (network(peer), self.names.hash_one(username))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl Attempt<'_> {
    /// Its password was wrong.
    pub(super) fn failed(&mut self, password: Mac) {
        for pass in &mut self.passes {
            pass.failed(password);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.passes.clear();
        let mut state = self.throttle.state();
        forget_if_unused(&mut state.pairs, &self.pair);
        forget_if_unused(&mut state.addresses, &self.pair.0);
    }
}

/// The gate of `key`, created if missing. At `most` gates, unused ones with the fewest failures are removed.
fn find<K: Copy + Eq + Hash>(
    gates: &mut HashMap<K, Arc<Gate>>,
    key: K,
    most: usize,
    pace: &'static Pace,
) -> Arc<Gate> {
    if gates.len() >= most && !gates.contains_key(&key) {
        let mut failures: Vec<_> = gates.values().map(|gate| gate.failures()).collect();
        // Half of them, so that this happens rarely.
        let (_, &mut median, _) = failures.select_nth_unstable(most / 2);
        gates.retain(|_, gate| is_in_use(gate) || gate.failures() > median);
    }
    Arc::clone(gates.entry(key).or_insert_with(|| Arc::new(Gate::new(pace))))
}

fn forget_if_unused<K: Eq + Hash>(gates: &mut HashMap<K, Arc<Gate>>, key: &K) {
    if gates.get(key).is_some_and(|gate| !is_in_use(gate) && gate.failures() == 0) {
        gates.remove(key);
    }
}

/// Whether an attempt waits at a gate or has passed it. Both hold a reference taken under the lock of
/// the map, which holds the other.
fn is_in_use(gate: &Arc<Gate>) -> bool {
    Arc::strong_count(gate) > 1
}

/// The network of an address: the owner of one IPv6 address has the other 2^64 of its network, too.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
