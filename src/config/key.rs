//! The table of every setting: its name, when an edit of it takes effect, its value as text.

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

/// When an edit of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// With the reload.
    Live,
    /// With the reload, for connections that are opened from then on.
    LiveForNewConnections,
    /// With the next start.
    Restart,
}

impl Key {
    /// Every setting there is.
    pub const ALL: [Self; 20] = [
        Self::Bind,
        Self::Port,
        Self::MaxConnections,
        Self::SignalStep,
        Self::WarnPercent,
        Self::Persist,
        Self::ManagementBind,
        Self::ManagementPort,
        Self::TokenFile,
        Self::ManagementSocket,
        Self::SocketMode,
        Self::LoginTimeout,
        Self::IdleTimeout,
        Self::RequestTimeout,
        Self::MaxRequest,
        Self::MaxInflightBytes,
        Self::DrainTimeout,
        Self::StoragePath,
        Self::Durability,
        Self::LogLevel,
    ];

    /// The name with its section, such as `limits.signal_step`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Port => "port",
            Self::MaxConnections => "max_connections",
            Self::SignalStep => "limits.signal_step",
            Self::WarnPercent => "limits.warn_percent",
            Self::Persist => "limits.persist",
            Self::ManagementBind => "management.bind",
            Self::ManagementPort => "management.port",
            Self::TokenFile => "management.token_file",
            Self::ManagementSocket => "management.socket",
            Self::SocketMode => "management.socket_mode",
            Self::LoginTimeout => "client.login_timeout",
            Self::IdleTimeout => "client.idle_timeout",
            Self::RequestTimeout => "client.request_timeout",
            Self::MaxRequest => "client.max_request",
            Self::MaxInflightBytes => "client.max_inflight_bytes",
            Self::DrainTimeout => "shutdown.drain_timeout",
            Self::StoragePath => "storage.path",
            Self::Durability => "storage.durability",
            Self::LogLevel => "log.level",
        }
    }

    /// The section it stands in; `None` is the top of the file.
    pub fn section(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub fn leaf(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(_, leaf)| leaf)
    }

    /// When an edit of it takes effect.
    pub const fn effect(self) -> Effect {
        match self {
            Self::MaxConnections
            | Self::SignalStep
            | Self::WarnPercent
            | Self::Persist
            | Self::RequestTimeout
            | Self::MaxInflightBytes
            | Self::DrainTimeout
            | Self::LogLevel => Effect::Live,
            Self::LoginTimeout | Self::IdleTimeout | Self::MaxRequest => Effect::LiveForNewConnections,
            Self::Bind
            | Self::Port
            | Self::ManagementBind
            | Self::ManagementPort
            | Self::TokenFile
            | Self::ManagementSocket
            | Self::SocketMode
            | Self::StoragePath
            | Self::Durability => Effect::Restart,
        }
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

/// Written as in the contract: `live`, `live for new connections`, `restart`.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::LiveForNewConnections => "live for new connections",
            Self::Restart => "restart",
        })
    }
}
