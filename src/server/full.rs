//! Turning clients away when the limit is reached: one line, end of file, and a summary in the log.
//!
//! A rejected socket is never watched for readiness, and costs less than an accepted one.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::limiter::Full;
use crate::protocol::{Refusal, Reply};

use super::linger::Linger;
use super::peers::Peers;

/// So many addresses are named in a summary.
const NAMED: usize = 3;

/// Rejections for the log: the first at once, then their number once a second until there was none
/// for a whole second.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Whether a line was logged since it was quiet.
    going_on: AtomicBool,
    /// Whether that line is of the second that is passing.
    just_begun: AtomicBool,
    unlogged: AtomicU64,
    peers: Peers,
}

/// The line for rejected clients, rendered again only when the limit has moved.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    limit: u32,
    line: Vec<u8>,
}

impl Rejection {
    /// Tells a client that the server is full, and hangs up.
    pub(super) fn send(&mut self, socket: OwnedFd, Full { limit }: Full, linger: &mut Linger, now: Instant) {
        if self.limit != limit || self.line.is_empty() {
            self.limit = limit;
            self.line.clear();
            Reply::Refused(Refusal::AtCapacity { limit }).render(&mut self.line);
        }
        linger.farewell(socket, &self.line, now);
    }
}

impl Summary {
    /// Counts the rejection of a client from `peer`.
    pub(super) fn count(&self, Full { limit }: Full, peer: IpAddr) {
        self.peers.count(peer);
        if self.going_on.load(Ordering::Relaxed) {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        } else {
            // It has a line of its own.
            self.peers.take_recent(0);
            self.just_begun.store(true, Ordering::Relaxed);
            self.going_on.store(true, Ordering::Relaxed);
            tracing::warn!(target: "shibudb::rejections", limit, %peer,
                "the connection limit of {limit} is reached: clients are turned away, the first from {peer}");
        }
    }

    /// Whether there is something to be logged, or may be within the second.
    pub(super) fn is_going_on(&self) -> bool {
        self.going_on.load(Ordering::Relaxed)
    }

    /// Logs what has been counted since the last call. To be called once a second.
    pub(super) fn log(&self) {
        if !self.going_on.load(Ordering::Relaxed) {
            return;
        }
        let just_begun = self.just_begun.swap(false, Ordering::Relaxed);
        match self.unlogged.swap(0, Ordering::Relaxed) {
            0 if just_begun => {}
            0 => self.going_on.store(false, Ordering::Relaxed),
            clients => {
                let peers = named(&self.peers.take_recent(NAMED));
                tracing::warn!(
                    clients,
                    peers,
                    "{clients} more were turned away at the connection limit, most often from {peers}"
                );
            }
        }
    }

    /// Which addresses were turned away.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }
}

/// Addresses with their numbers, as in `192.0.2.7 (20), 192.0.2.9 (3)`.
fn named(peers: &[(IpAddr, u64)]) -> String {
    let mut text = String::new();
    for (number, (address, rejections)) in peers.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        write!(text, "{comma}{address} ({rejections})").ok();
    }
    text
}
