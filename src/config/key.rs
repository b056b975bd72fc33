//! The facts about each setting, for lists, messages and comparisons. The table itself is `settings.rs`.

use std::fmt;

use super::{Config, Key};

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

impl Key {
    /// Its section; `None` is the top of the file.
    pub fn section(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub fn leaf(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(_, leaf)| leaf)
    }

    /// Its value as a person writes it, without quotes; `None` for a path that is not configured.
    ///
    /// The management port is the one in effect, configured or derived.
    pub fn value(self, config: &Config) -> Option<String> {
        match self {
            Self::ManagementPort => Some(config.management_port().to_string()),
            _ => self.entry().write(config),
        }
    }

    /// The built-in default, as [`Key::value`] writes it.
    pub fn default_value(self) -> Option<String> {
        self.value(&Config::default())
    }

    /// The manual's description of the default: its value, or what no value means.
    pub fn default_in_words(self) -> String {
        self.default_value().unwrap_or_else(|| self.entry().without().to_owned())
    }

    /// A value for the shipped file, as [`Key::value`] writes it: the default, or an example where the default cannot
    /// be written.
    pub fn example(self) -> String {
        self.default_value().or(self.entry().example().map(str::to_owned)).unwrap_or_default()
    }

    /// Whether the default is a value that a file can contain. Other settings, if left out, stand for a derived port or
    /// path, or for none.
    pub fn has_default(self) -> bool {
        self.entry().write(&Config::default()).is_some()
    }

    /// What the file may contain, in words.
    pub fn expected(self) -> String {
        self.entry().expected()
    }

    /// Copies the value from `other` to `config`.
    pub(crate) fn copy(self, config: &mut Config, other: &Config) {
        self.entry().copy(config, other);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Effect {
    /// Whether a running server applies the edit.
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

/// Written as everywhere else: `live`, `live for new connections`, `restart`.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::LiveForNewConnections => "live for new connections",
            Self::Restart => "restart",
        })
    }
}
