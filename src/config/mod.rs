//! From the text of a config file to settings, and the difference between two of them.
//!
//! The contents of the file and the running settings are separate: [`parse()`] walks the text once,
//! collects *all* its problems with line and column, and returns a [`Config`] only when there are
//! none. [`Key`] lists the settings; one table (`settings.rs`) defines each of them.
//!
//! This module knows nothing of the running server. It never writes a file, never applies a setting,
//! and never decides which of file, command line and override wins.

mod difference;
mod form;
mod key;
mod load;
mod parse;
mod problem;
mod settings;
mod spelling;
mod table;
mod text;

use std::net::IpAddr;
use std::num::NonZeroU32;

pub use self::difference::{Change, Difference};
pub use self::key::Effect;
pub(crate) use self::load::parse_file;
pub use self::load::{Found, LoadError, MAX_FILE_SIZE, load, read};
pub use self::parse::{Parsed, parse};
pub use self::problem::{Hint, Position, Problem, Problems, Reason};
pub use self::settings::{Client, Config, Key, Limits, Log, Management, Shutdown, Storage};
pub(crate) use self::spelling::nearest;
pub(crate) use self::text::parse_duration;
use crate::named_enum::named_enum;

/// How far above the client port the management port lies, unless it is configured.
const MANAGEMENT_PORT_OFFSET: u16 = 1000;

/// The default connection limit.
pub(crate) const DEFAULT_LIMIT: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not zero");

named_enum! {
    /// What an answered write survives.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Durability {
        /// Synced before it is answered: survives a crash and power loss.
        Always = "always",
        /// Synced once a second: a crash may lose the last second.
        EverySecond = "1s",
    }
}

named_enum! {
    /// How important a log line is, the most important first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Level {
        /// Someone must act.
        Error = "error",
        /// Someone should look.
        Warn = "warn",
        /// A state changed.
        Info = "info",
        /// What each connection does.
        Debug = "debug",
        /// What each request does.
        Trace = "trace",
    }
}

/// Settings that are valid individually but contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Other machines could reach the management API, which would accept any of them.
    #[error(
        "management.bind {address}: anyone who can reach this address could change the limit; set token_file in \
         [management] to require a token, or bind 127.0.0.1 and use an SSH tunnel"
    )]
    ManagementOpenToAll {
        /// The address, which is not a loopback one.
        address: IpAddr,
    },

    /// The derived management port does not exist.
    #[error(
        "port {port}: the management port would be {}, above {}; choose a port up to {}, or set port in [management]",
        u32::from(*port) + u32::from(MANAGEMENT_PORT_OFFSET), u16::MAX, u16::MAX - MANAGEMENT_PORT_OFFSET
    )]
    ManagementPortTooHigh {
        /// The client port it is derived from.
        port: u16,
    },
    /// Clients and management would share one port.
    #[error("management.port {port}: clients connect to this port on the same address; choose another")]
    ManagementPortTaken {
        /// The port of both.
        port: u16,
    },
}

impl Config {
    /// Checks what no single setting shows: whether they contradict each other.
    ///
    /// [`parse()`] has done so for a file; do it again after applying the command line.
    ///
    /// # Errors
    /// Every [`Conflict`] found.
    pub fn validate(&self) -> Result<(), Vec<Conflict>> {
        let conflicts = Vec::from_iter([self.open_to_all(), self.ports_in_conflict()].into_iter().flatten());
        if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
    }

    fn open_to_all(&self) -> Option<Conflict> {
        let address = self.management.bind;
        let open = !address.to_canonical().is_loopback() && self.management.token_file.is_none();
        open.then_some(Conflict::ManagementOpenToAll { address })
    }

    fn ports_in_conflict(&self) -> Option<Conflict> {
        let port = self.port;
        match self.management.port {
            None if port.checked_add(MANAGEMENT_PORT_OFFSET).is_none() => {
                Some(Conflict::ManagementPortTooHigh { port })
            }
            Some(management)
                if management == port && port != 0 && overlap(self.bind, self.management.bind) =>
            {
                Some(Conflict::ManagementPortTaken { port })
            }
            _ => None,
        }
    }

    /// The port of the management API: as configured, else the client port plus 1000.
    ///
    /// Port 0, any free port, has no neighbour: there the management port is any free one too.
    /// Meaningful once [`Config::validate`] has passed.
    pub fn management_port(&self) -> u16 {
        match (self.management.port, self.port) {
            (Some(port), _) => port,
            (None, 0) => 0,
            (None, port) => port.saturating_add(MANAGEMENT_PORT_OFFSET),
        }
    }
}

/// Whether one port cannot be listened on at both addresses.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    // `::` takes the IPv4 port as well, unless the host was told otherwise.
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one == other || covers(one, other) || covers(other, one)
}
