//! What an edit changes, and when each change takes effect.

use std::fmt;

use super::{Config, Key};

/// What differs between two configurations, each part in the order of [`Key::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Settings that a running server applies.
    pub live: Vec<Change>,
    /// Settings that wait for a restart.
    pub restart: Vec<Change>,
}

/// One setting with its value before and after, as [`Key::value`] writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub key: Key,
    /// Its value before.
    pub old: Option<String>,
    /// Its value after.
    pub new: Option<String>,
}

impl Difference {
    /// What changes from `old` to `new`.
    ///
    /// Values in effect are compared: naming the default in the file changes nothing, and moving the
    /// client port moves a management port that is derived from it.
    pub fn between(old: &Config, new: &Config) -> Self {
        let changes = Key::ALL.into_iter().filter_map(|key| {
            let (old, new) = (key.value(old), key.value(new));
            (old != new).then_some(Change { key, old, new })
        });
        let (live, restart) = changes.partition(|change| change.key.effect().is_live());
        Self { live, restart }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

/// Written as `port: 9090 -> 9091`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_default = |value: &Option<String>| value.clone().unwrap_or_else(|| "default".to_owned());
        write!(f, "{}: {} -> {}", self.key, or_default(&self.old), or_default(&self.new))
    }
}
