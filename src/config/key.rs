//! The table of every setting: its name, when an edit of it takes effect and for whom, its value as text.
//!
//! Whoever tells of settings reads it from here: `GET /config`, `manager config`, the reload. The shipped file and the
//! manual are held against it by `tests/library/config/file.rs`, and what a reload does by `daemon::settings`.

use std::fmt;
use std::path::PathBuf;

use super::{Config, text};

/// One setting. The order is that of the shipped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `bind`
    Bind,
    /// `port`
    Port,
    /// `max_connections`
    MaxConnections,
    /// `limits.signal_step`
    SignalStep,
    /// `limits.warn_percent`
    WarnPercent,
    /// `limits.persist`
    Persist,
    /// `management.bind`
    ManagementBind,
    /// `management.port`
    ManagementPort,
    /// `management.token_file`
    TokenFile,
    /// `management.socket`
    ManagementSocket,
    /// `management.socket_mode`
    SocketMode,
    /// `client.login_timeout`
    LoginTimeout,
    /// `client.idle_timeout`
    IdleTimeout,
    /// `client.request_timeout`
    RequestTimeout,
    /// `client.max_request`
    MaxRequest,
    /// `client.max_inflight_bytes`
    MaxInflightBytes,
    /// `shutdown.drain_timeout`
    DrainTimeout,
    /// `storage.path`
    StoragePath,
    /// `storage.durability`
    Durability,
    /// `log.level`
    LogLevel,
}

/// When an edit of a setting takes effect, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// With the reload, for connections that are open already, too.
    Live,
    /// With the reload, for connections that are opened from then on.
    LiveForNewConnections,
    /// With the next start.
    Restart,
}

/// What there is to know of a setting beside its value.
struct Row {
    key: Key,
    name: &'static str,
    effect: Effect,
}

const fn row(key: Key, name: &'static str, effect: Effect) -> Row {
    Row { key, name, effect }
}

/// The table, in the order of the keys.
const TABLE: [Row; 20] = [
    row(Key::Bind, "bind", Effect::Restart),
    row(Key::Port, "port", Effect::Restart),
    row(Key::MaxConnections, "max_connections", Effect::Live),
    row(Key::SignalStep, "limits.signal_step", Effect::Live),
    row(Key::WarnPercent, "limits.warn_percent", Effect::Live),
    row(Key::Persist, "limits.persist", Effect::Live),
    row(Key::ManagementBind, "management.bind", Effect::Restart),
    row(Key::ManagementPort, "management.port", Effect::Restart),
    row(Key::TokenFile, "management.token_file", Effect::Restart),
    row(Key::ManagementSocket, "management.socket", Effect::Restart),
    row(Key::SocketMode, "management.socket_mode", Effect::Restart),
    row(Key::LoginTimeout, "client.login_timeout", Effect::Live),
    row(Key::IdleTimeout, "client.idle_timeout", Effect::Live),
    row(Key::RequestTimeout, "client.request_timeout", Effect::Live),
    row(Key::MaxRequest, "client.max_request", Effect::LiveForNewConnections),
    row(Key::MaxInflightBytes, "client.max_inflight_bytes", Effect::Live),
    row(Key::DrainTimeout, "shutdown.drain_timeout", Effect::Live),
    row(Key::StoragePath, "storage.path", Effect::Restart),
    row(Key::Durability, "storage.durability", Effect::Restart),
    row(Key::LogLevel, "log.level", Effect::Live),
];

impl Key {
    /// Every setting there is.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Bind; TABLE.len()];
        let mut number = 0;
        while number < all.len() {
            all[number] = TABLE[number].key;
            assert!(all[number] as usize == number, "the table is not in the order of the keys");
            number += 1;
        }
        all
    };

    /// The name with its section, such as `limits.signal_step`.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// The section it stands in; `None` is the top of the file.
    pub fn section(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub fn leaf(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(_, leaf)| leaf)
    }

    /// When an edit of it takes effect, and for whom.
    pub const fn effect(self) -> Effect {
        TABLE[self as usize].effect
    }

    /// Its value as a person writes it, without quotes; `None` for a path that is not configured.
    ///
    /// The management port is the one in effect, configured or derived.
    pub fn value(self, config: &Config) -> Option<String> {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Some(match self {
            Self::Bind => config.bind.to_string(),
            Self::Port => config.port.to_string(),
            Self::MaxConnections => config.max_connections.to_string(),
            Self::SignalStep => config.limits.signal_step.to_string(),
            Self::WarnPercent => config.limits.warn_percent.to_string(),
            Self::Persist => config.limits.persist.to_string(),
            Self::ManagementBind => config.management.bind.to_string(),
            Self::ManagementPort => config.management_port().to_string(),
            Self::TokenFile => return shown(&config.management.token_file),
            Self::ManagementSocket => return shown(&config.management.socket),
            Self::SocketMode => text::mode(config.management.socket_mode),
            Self::LoginTimeout => text::duration(config.client.login_timeout),
            Self::IdleTimeout => text::duration(config.client.idle_timeout.unwrap_or_default()),
            Self::RequestTimeout => text::duration(config.client.request_timeout),
            Self::MaxRequest => text::size(config.client.max_request),
            Self::MaxInflightBytes => text::size(config.client.max_inflight_bytes),
            Self::DrainTimeout => text::duration(config.shutdown.drain_timeout),
            Self::StoragePath => return shown(&config.storage.path),
            Self::Durability => config.storage.durability.to_string(),
            Self::LogLevel => config.log.level.to_string(),
        })
    }

    /// The built-in default, as [`Key::value`] writes it.
    pub fn default_value(self) -> Option<String> {
        self.value(&Config::default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Effect {
    /// Whether a running server takes the edit over.
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

/// Written as everywhere: `live`, `live for new connections`, `restart`.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::LiveForNewConnections => "live for new connections",
            Self::Restart => "restart",
        })
    }
}
