//! The addresses with the most events of a kind, such as rejections, counted in bounded memory for any number of
//! addresses.
//!
//! The algorithm is "Space-Saving" (Metwally, Agrawal, El Abbadi 2005): an address that is not in the table replaces
//! the one with the lowest count, and takes over its count. So an address with more than one in [`PEERS`] of all events
//! is always in the table, and no count is too low.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use crate::unpoisoned::Unpoisoned;

/// How many addresses are counted.
const PEERS: usize = 64;

/// The most addresses in a log line.
const NAMED: usize = 3;

/// An address with events, and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedPeer {
    /// The address.
    pub address: IpAddr,
    /// The upper bound of its events.
    pub times: u64,
    /// How many of those may belong to addresses that are not counted any more.
    pub uncertain: u64,
    /// When the last event occurred.
    pub last: SystemTime,
}

/// The number of events of each address.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    peer: CountedPeer,
    /// Events since the last summary.
    recent: u64,
}

impl Peers {
    pub(super) fn count(&self, address: IpAddr) {
        let now = SystemTime::now();
        let mut entries = self.entries();
        let entry = match entries.iter().position(|entry| entry.peer.address == address) {
            Some(found) => found,
            None if entries.len() < PEERS => {
                entries.reserve_exact(PEERS);
                let peer = CountedPeer { address, times: 0, uncertain: 0, last: now };
                entries.push(Entry { peer, recent: 0 });
                entries.len() - 1
            }
            None => {
                let least = entries.iter().enumerate().min_by_key(|(_, entry)| entry.peer.times);
                let Some((least, _)) = least else { return };
                let times = entries[least].peer.times;
                let peer = CountedPeer { address, times, uncertain: times, last: now };
                entries[least] = Entry { peer, recent: 0 };
                least
            }
        };
        let entry = &mut entries[entry];
        entry.peer.times += 1;
        entry.peer.last = now;
        entry.recent += 1;
    }

    /// The addresses with the highest counts, in descending order.
    pub(super) fn most(&self) -> Vec<CountedPeer> {
        let mut peers: Vec<_> = self.entries().iter().map(|entry| entry.peer).collect();
        peers.sort_by(|one, other| other.times.cmp(&one.times).then_with(|| one.address.cmp(&other.address)));
        peers
    }

    /// The `most` addresses with the most events since the last call, with their numbers.
    pub(super) fn take_recent(&self, most: usize) -> Vec<(IpAddr, u64)> {
        let mut entries = self.entries();
        let mut recent: Vec<_> = entries
            .iter_mut()
            .map(|entry| (entry.peer.address, std::mem::take(&mut entry.recent)))
            .filter(|(_, times)| *times > 0)
            .collect();
        drop(entries);
        recent.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        recent.truncate(most);
        recent
    }

    /// The busiest since the last call, as in `192.0.2.7 (20), 192.0.2.9 (3)`.
    pub(super) fn named_recent(&self) -> String {
        let recent = self.take_recent(NAMED);
        let named: Vec<_> = recent.iter().map(|(address, times)| format!("{address} ({times})")).collect();
        named.join(", ")
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unpoisoned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn whoever_comes_often_is_found_among_many_who_come_once() {
        let peers = Peers::default();
        for number in 0..100_000 {
            peers.count(address(1000 + number));
            if number % 10 == 0 {
                peers.count(address(1));
            }
            if number % 20 == 0 {
                peers.count(address(2));
            }
        }
        let most = peers.most();
        assert_eq!(most.len(), PEERS);
        let [first, second, third, ..] = most[..] else { panic!("{most:?}") };
        assert_eq!((first.address, second.address), (address(1), address(2)));
        assert!((10_000..12_000).contains(&first.times), "{first:?}");
        assert!(first.times - first.uncertain <= 10_000);
        assert!(third.times - third.uncertain <= 1, "{third:?}");
    }

    #[test]
    fn recent_ones_are_told_once() {
        let peers = Peers::default();
        for number in [1, 2, 2, 3, 3, 3] {
            peers.count(address(number));
        }
        assert_eq!(peers.take_recent(2), [(address(3), 3), (address(2), 2)]);
        assert_eq!(peers.take_recent(2), []);
        peers.count(address(1));
        assert_eq!(peers.take_recent(2), [(address(1), 1)]);
        assert_eq!(peers.most()[0].times, 3, "the total goes on");
    }
}
