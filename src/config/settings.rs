//! The table of every setting: its name, type, default and bounds, what an edit does and to whom, its help text.
//!
//! A new setting is an entry here and the place that uses it. The settings in the shipped file and in the manual are
//! generated from this table (`tests/operator/generated_files`).

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::form::{
    AbsolutePath, Address, Connections, Count, DerivedPort, Percent, Permissions, Port, Size, Switch, Time,
    TimeOrNever, Word,
};
use super::key::Effect;
use super::table::{Entry, Row, settings};
use super::{DEFAULT_LIMIT, Durability, Level};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STEP: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const TIB: usize = 1024 * 1024 * MIB;

/// `sun_path` of unix(7) less its terminator.
const LONGEST_SOCKET: usize = 107;

settings! {
    /// Every setting there is. The default is what runs without a config file.
    ///
    /// A file never yields port 0; code may use it for "any free port".
    struct Config {
        /// The address clients connect to. `0.0.0.0` or `::` opens the server to every network of this host.
        Bind => bind: IpAddr = LOCALHOST, Address, Restart;

        /// The port clients connect to, 1 to 64535, or to 65535 if the management port is set. The command line takes
        /// precedence.
        Port => port: u16 = 9090, Port, Restart;

        /// How many client connections may be open at once, from 1 to what the open-file limit allows. At the
        /// start the command line takes precedence over the file; a later edit of the value takes precedence over
        /// both. Saving the file without a change of the value does not undo a limit that was set at run time.
        ///
        /// The server refuses a value below the number of open connections at first, and applies it as soon as few
        /// enough are open, unless the limit is set in another way first. `shibudb manager PORT status` says so. A
        /// value beyond the open-file limit is clamped at the start.
        MaxConnections => max_connections: NonZeroU32 = DEFAULT_LIMIT, Connections, Live;
    }

    /// How the connection limit behaves when it is changed at run time.
    struct Limits in limits {
        /// By how many connections SIGUSR1 raises the limit and SIGUSR2 lowers it; also the amount of an increase or
        /// decrease that names none.
        SignalStep => signal_step: NonZeroU32 = STEP, Count, Live;

        /// A warning is logged when usage rises above this share of the limit, in percent, 1 to 100.
        WarnPercent => warn_percent: u8 = 80, Percent, Live;

        /// Whether a limit set at run time survives a restart. It does not survive an edit of `max_connections`. A
        /// start that cannot hold so many connections clamps it and keeps it stored.
        Persist => persist: bool = true, Switch, Live;
    }

    /// Where the management API listens, and whom it lets in. [`Config::management_port`] is the port in effect.
    struct Management in management {
        /// The address of the management API. Every client that reaches it can change the limit, so any address but
        /// loopback needs `token_file`. Without one, other machines can use an SSH tunnel.
        ManagementBind => bind: IpAddr = LOCALHOST, Address, Restart;

        /// The port of the management API. Left out, it is the client port plus 1000.
        ManagementPort => port: Option<u16> = None, DerivedPort, Restart;

        /// A file with a token that every request but `/health` and the page at `/` must carry, as the header
        /// `Authorization: Bearer TOKEN` or with `shibudb manager --token-file`. The file has one line of printable
        /// characters without spaces, and is readable only by its owner and group; `openssl rand -hex 32` makes a
        /// good token. The server follows this file like the config file: within a second of an edit it requires
        /// the new token and refuses the old one. While the file is missing, empty or readable by everybody, the
        /// last token stays in force, and `shibudb manager PORT config` says so. A change of the path takes effect
        /// with the next start.
        TokenFile => token_file: Option<PathBuf> = None,
            AbsolutePath { example: "/etc/shibudb/management.token", without: "none", longest: None }, Restart;

        /// A Unix socket, of at most 107 bytes, on which the management API listens as well, for
        /// `shibudb manager --socket`. It requires no token: the permissions of the socket control access, and the
        /// history names the user and the process as the kernel reports them. Left out, the service has a socket in
        /// the first `RuntimeDirectory=` of its unit, `/run/shibudb/service/management.sock`, and any other server
        /// has none.
        ManagementSocket => socket: Option<PathBuf> = None,
            AbsolutePath {
                example: "/run/shibudb/service/management.sock",
                without: "none",
                longest: Some(LONGEST_SOCKET),
            }, Restart;

        /// The permissions of that socket, in octal.
        SocketMode => socket_mode: u32 = 0o660, Permissions, Restart;
    }

    /// What one client connection may use.
    struct Client in client {
        /// How long a new connection may take to log in before it is closed, `1ms` to `24h`.
        LoginTimeout => login_timeout: Duration = Duration::from_secs(10),
            Time { least: MILLISECOND, most: DAY }, Live;

        /// How long a session may be silent before it is closed, `1ms` to `24h`; `0s` is never. An edit counts for
        /// the sessions that are open already, too.
        IdleTimeout => idle_timeout: Option<Duration> = None,
            TimeOrNever { least: MILLISECOND, most: DAY, example: "5m" }, Live;

        /// How long a request may take from its first byte to its last, `1ms` to `24h`, however slowly it comes in;
        /// a session whose `idle_timeout` is shorter has no more than that.
        RequestTimeout => request_timeout: Duration = Duration::from_secs(120),
            Time { least: MILLISECOND, most: DAY }, Live;

        /// The longest request line a client may send, `1KiB` to `64MiB`. A session keeps what held when it
        /// connected.
        MaxRequest => max_request: usize = MIB, Size { least: KIB, most: 64 * MIB }, LiveForNewConnections;

        /// The most memory that requests of all clients may take together, `1MiB` to `1TiB`. Beyond it the server
        /// reads only small requests, of at most 16 KiB, that have come in whole, until others are answered. A
        /// client that has begun a request then and sends less than 16 KiB of it in a second, or reads less of its
        /// answers, is disconnected.
        MaxInflightBytes => max_inflight_bytes: usize = 256 * MIB, Size { least: MIB, most: TIB }, Live;
    }

    /// How the server ends.
    struct Shutdown in shutdown {
        /// How long open connections may finish when the server is stopped, up to `24h`; `0s` closes them at once.
        /// Under systemd the server asks for this time itself.
        DrainTimeout => drain_timeout: Duration = Duration::from_secs(30),
            Time { least: Duration::ZERO, most: DAY }, Live;
    }

    /// Where and how firmly data is stored.
    struct Storage in storage {
        /// The directory of the stored data, an absolute path. Left out, it is in the data directory
        /// (`/var/lib/shibudb` for root, or `--data-dir`). Existing data is not moved.
        StoragePath => path: Option<PathBuf> = None,
            AbsolutePath { example: "/srv/shibudb", without: "in the data directory", longest: None }, Restart;

        /// What an answered write survives. With `always` it is synced before it is answered, and survives a crash
        /// and a loss of power. With `1s` writes are synced once a second: they are answered sooner, and a crash may
        /// lose the last second of them.
        Durability => durability: Durability = Durability::Always,
            Word { all: &Durability::ALL, name: Durability::name }, Restart;
    }

    /// What is logged.
    struct Log in log {
        /// The least important level that is logged: `error`, `warn`, `info`, `debug` or `trace`.
        LogLevel => level: Level = Level::Info, Word { all: &Level::ALL, name: Level::name }, Live;
    }
}
