//! Why connections end: the reasons, as metrics and the log name them, and the lines in the log. Sessions give some of
//! them; none depends on the protocol.
//!
//! An ending of interest to an operator is logged: the first of its kind at once and with the client's address, the
//! others as a number with the busiest addresses every [`INTERVAL`], and after a minute once a minute, so that a storm
//! does not flood the log.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use crate::named_enum::named_enum;

use super::bursts::{Rhythm, Storm, Untold};

/// The interval between two lines about endings of one kind.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// After an interval without any, the next has a line of its own again.
pub(crate) const RHYTHM: Rhythm = Rhythm { looks_a_minute: 6, quiet_looks: 1 };

named_enum! {
    /// Why a connection ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Ending {
        /// The client closed or reset it.
        Client = "client",
        /// The client's machine, or the network path to it, is gone.
        Unreachable = "unreachable",
        /// The login was refused, and the client was informed.
        LoginDenied = "login_denied",
        /// Too many logins were waiting to be checked, and the client was informed.
        LoginBusy = "login_busy",
        /// There was no login in time.
        LoginTimeout = "login_timeout",
        /// The client was silent for too long.
        IdleTimeout = "idle_timeout",
        /// A request arrived too slowly or incompletely.
        TooSlow = "too_slow",
        /// The client did not read its answers.
        NotReading = "not_reading",
        /// What the client waited for took too long, and the client was informed.
        NoAnswer = "no_answer",
        /// The client violated the protocol, and was informed.
        Protocol = "protocol",
        /// The account of the session was deleted, and the client was informed.
        AccountRemoved = "account_removed",
        /// An operator ended it.
        Killed = "killed",
        /// The server is shutting down; the connection was between requests.
        Drained = "drained",
        /// The server is shutting down, and the time for that was up.
        DrainTimeout = "drain_timeout",
        /// A fault of this program.
        Failed = "failed",
    }
}

/// How to close the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// At once, whatever the client is doing.
    AtOnce,
    /// The client gets a last line, and time to read it.
    WithLastLine,
    /// The client was sent a last line, and gets time to read it.
    AfterLastLine,
    /// The client gets time to read all answers.
    AfterAnswers,
}

/// Endings for the log.
#[derive(Debug)]
pub(super) struct Endings {
    kinds: [Storm; Ending::ALL.len()],
}

impl Ending {
    /// The reason for an error from the socket.
    pub(super) fn of(error: Errno) -> Self {
        match error {
            Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN => {
                Self::Unreachable
            }
            _ => Self::Client,
        }
    }

    pub(super) fn manner(self) -> Manner {
        match self {
            Self::LoginDenied | Self::LoginBusy | Self::NoAnswer | Self::Protocol | Self::AccountRemoved => {
                Manner::AfterLastLine
            }
            Self::Killed | Self::Drained => Manner::AfterAnswers,
            Self::TooSlow => Manner::WithLastLine,
            Self::Client
            | Self::Unreachable
            | Self::LoginTimeout
            | Self::IdleTimeout
            | Self::NotReading
            | Self::DrainTimeout
            | Self::Failed => Manner::AtOnce,
        }
    }

    /// The text for an operator. `None` if it is no news, or is logged elsewhere.
    fn sentence(self) -> Option<&'static str> {
        match self {
            Self::Unreachable => Some("the client's host did not respond"),
            Self::LoginBusy => Some("too many logins were waiting to be checked"),
            Self::NoAnswer => Some("the client's request was not answered in time"),
            Self::LoginTimeout => Some("the client had not logged in within client.login_timeout"),
            Self::IdleTimeout => Some("the client sent nothing for client.idle_timeout"),
            Self::TooSlow => Some("a request came in too slowly"),
            Self::NotReading => Some("the client did not read its answers"),
            Self::Protocol => Some("the client violated the protocol"),
            Self::AccountRemoved => Some("the account was deleted"),
            Self::Client
            | Self::LoginDenied
            | Self::Killed
            | Self::Drained
            | Self::DrainTimeout
            | Self::Failed => None,
        }
    }
}

impl Endings {
    /// Records that a connection has ended.
    pub(super) fn note(&self, ending: Ending, peer: SocketAddr, user: Option<&str>) {
        let reason = ending.name();
        tracing::debug!(%peer, user, reason, "the connection of {peer} ended ({}): {reason}", user.unwrap_or("not logged in"));
        let Some(sentence) = ending.sentence() else { return };
        if self.kinds[ending as usize].begins(peer.ip()) {
            let who = user.map(|user| format!(", user {user}")).unwrap_or_default();
            tracing::info!(%peer, user, reason, "closed the connection of {peer}{who}: {sentence} ({reason})");
        }
    }

    /// Whether there is something to log, or may be within the interval.
    pub(super) fn is_going_on(&self) -> bool {
        self.kinds.iter().any(Storm::is_going_on)
    }

    /// Logs the recorded endings that are due. Must be called every [`INTERVAL`].
    pub(super) fn log(&self) {
        for (ending, kind) in Ending::ALL.into_iter().zip(&self.kinds) {
            let Some(sentence) = ending.sentence() else { continue };
            let Some((Untold { count: connections, .. }, peers)) = kind.look() else { continue };
            let reason = ending.name();
            tracing::info!(
                connections,
                reason,
                peers,
                "closed {connections} more connections, most often from {peers}: {sentence} ({reason})"
            );
        }
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self { kinds: Ending::ALL.map(|_| Storm::new(RHYTHM)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_number_and_a_name_of_its_own() {
        for (number, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, number);
            let namesakes = Ending::ALL.iter().filter(|other| other.name() == ending.name());
            assert_eq!(namesakes.count(), 1, "{}", ending.name());
        }
    }
}
