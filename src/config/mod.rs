//! From the text of a config file to settings, and the difference between two of them.
//!
//! What the file said and what the server runs are two things: [`parse`] walks the text once,
//! collects *all* its problems with line and column, and hands out a [`Config`] only when there are
//! none. [`Key`] is the table of every setting, for whoever lists or compares them.
//!
//! This room knows nothing of the running server. It never writes a file, never applies a setting,
//! and never decides which of file, command line and override wins.

mod difference;
mod key;
mod load;
mod parse;
mod problem;
mod spelling;
mod text;
mod value;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub use self::difference::{Change, Difference};
pub use self::key::{Effect, Key};
pub(crate) use self::load::open;
pub use self::load::{Found, LoadError, MAX_FILE_SIZE, load, parse_file, read};
pub use self::parse::{Parsed, parse};
pub use self::problem::{Hint, Position, Problem, Problems, Reason};
pub(crate) use self::spelling::nearest;
pub(crate) use self::text::parse_duration;

/// How far above the client port the management port lies, unless it is configured.
const MANAGEMENT_PORT_OFFSET: u16 = 1000;

/// Every setting there is. The default is what runs without a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address clients connect to.
    pub bind: IpAddr,
    /// The port clients connect to. A file never yields 0; code may use it for "any free port".
    pub port: u16,
    /// How many client connections may be open at once.
    pub max_connections: NonZeroU32,
    /// Section `[limits]`.
    pub limits: Limits,
    /// Section `[management]`.
    pub management: Management,
    /// Section `[client]`.
    pub client: Client,
    /// Section `[shutdown]`.
    pub shutdown: Shutdown,
    /// Section `[storage]`.
    pub storage: Storage,
    /// Section `[log]`.
    pub log: Log,
}

/// How the connection limit behaves when it is changed at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// By how many connections one signal, or a request that names no amount, moves the limit.
    pub signal_step: NonZeroU32,
    /// Usage in percent of the limit, 1 to 100, above which a warning is logged.
    pub warn_percent: u8,
    /// Whether a limit set at run time survives a restart.
    pub persist: bool,
}

/// Where the management API listens, and whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    /// Its address.
    pub bind: IpAddr,
    /// Its port, if configured; [`Config::management_port`] is the one in effect.
    pub port: Option<u16>,
    /// The file with the token that its clients have to send, absolute; `None` asks for none.
    pub token_file: Option<PathBuf>,
    /// The Unix socket on which it listens as well, absolute; `None` makes none.
    pub socket: Option<PathBuf>,
    /// The permissions of that socket, as chmod(2) has them: whoever may write to it may connect.
    pub socket_mode: u32,
}

/// What one client connection may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// How long a new connection may take to log in.
    pub login_timeout: Duration,
    /// How long a session may be silent before it is closed; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a request may take from its first byte to its last.
    pub request_timeout: Duration,
    /// The longest request line, in bytes.
    pub max_request: usize,
    /// The most memory that the requests of all clients may take together, in bytes. Beyond it, reading pauses.
    pub max_inflight_bytes: usize,
}

/// How the server ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// How long open connections may finish before they are closed; zero closes them at once.
    pub drain_timeout: Duration,
}

/// Where and how firmly data is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The directory of the stored data, absolute; `None` leaves it to the data directory.
    pub path: Option<PathBuf>,
    /// What an answered write survives.
    pub durability: Durability,
}

/// What an answered write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced before it is answered: survives a crash and power loss. Written `"always"`.
    Always,
    /// Synced once a second: a crash may lose the last second. Written `"1s"`.
    EverySecond,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is logged.
    pub level: Level,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Someone must act.
    Error,
    /// Someone should look.
    Warn,
    /// A state changed.
    Info,
    /// What each connection does.
    Debug,
    /// What each request does.
    Trace,
}

/// Settings that are fine each on their own and cannot hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Other machines could reach the management API, and it would let in whoever does.
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
    /// Checks what no single setting can tell: whether they hold together.
    ///
    /// [`parse`] has done so for a file; do it again once the command line has had its say.
    ///
    /// # Errors
    /// Every [`Conflict`] there is.
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

impl Default for Config {
    fn default() -> Self {
        const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        const STEP: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
        const LIMIT: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not zero");
        Self {
            bind: LOCALHOST,
            port: 9090,
            max_connections: LIMIT,
            limits: Limits { signal_step: STEP, warn_percent: 80, persist: true },
            management: Management {
                bind: LOCALHOST,
                port: None,
                token_file: None,
                socket: None,
                socket_mode: 0o660,
            },
            client: Client {
                login_timeout: Duration::from_secs(10),
                idle_timeout: None,
                request_timeout: Duration::from_secs(120),
                max_request: 1024 * 1024,
                max_inflight_bytes: 256 * 1024 * 1024,
            },
            shutdown: Shutdown { drain_timeout: Duration::from_secs(30) },
            storage: Storage { path: None, durability: Durability::Always },
            log: Log { level: Level::Info },
        }
    }
}
