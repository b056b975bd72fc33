//! Rejects clients when the limit is reached: one line, end of file, and a summary in the log.
//!
//! A rejected socket is never watched for readiness, and costs less than an accepted one.

use std::net::IpAddr;
use std::time::Instant;

use super::bursts::{Rhythm, Storm, Untold};
use super::handler::{Handler, LastWords};
use super::linger::Linger;
use super::peers::Peers;
use super::transport::Transport;

/// The rejections are checked once a second.
const RHYTHM: Rhythm = Rhythm { looks_a_minute: 60, quiet_looks: 60 };

/// Rejections for the log: the first at once, then their number and the busiest addresses, once a second for a
/// minute and then once a minute, until there was none for a minute.
#[derive(Debug)]
pub(super) struct Summary(Storm);

/// The line for rejected clients, rendered again only when the limit has changed.
#[derive(Debug, Default)]
pub(super) struct Rejection {
    limit: u32,
    line: Vec<u8>,
}

impl Rejection {
    /// Sends a client the line that the server is full, and hangs up.
    pub(super) fn send<H: Handler>(
        &mut self,
        transport: Transport,
        limit: u32,
        linger: &mut Linger,
        now: Instant,
    ) {
        if self.limit != limit || self.line.is_empty() {
            self.limit = limit;
            self.line.clear();
            H::last_words(LastWords::AtCapacity { limit }, &mut self.line);
        }
        linger.farewell(transport, &self.line, now);
    }
}

impl Default for Summary {
    fn default() -> Self {
        Self(Storm::new(RHYTHM))
    }
}

impl Summary {
    /// Counts the rejection of a client from `peer`.
    pub(super) fn count(&self, limit: u32, peer: IpAddr) {
        if self.0.begins(peer) {
            tracing::warn!(target: "shibudb::rejections", limit, %peer,
                "the connection limit of {limit} is reached: rejecting clients, the first from {peer}");
        }
    }

    /// Whether there is something to log, or may be within the second.
    pub(super) fn is_going_on(&self) -> bool {
        self.0.is_going_on()
    }

    /// Logs the counts that are due. Must be called once a second.
    pub(super) fn log(&self) {
        if let Some((Untold { count: clients, looks: seconds }, peers)) = self.0.look() {
            tracing::warn!(
                clients,
                seconds,
                peers,
                "rejected {clients} more clients at the connection limit within {seconds} s, most often from {peers}"
            );
        }
    }

    /// The rejected addresses.
    pub(super) fn peers(&self) -> &Peers {
        self.0.peers()
    }
}
