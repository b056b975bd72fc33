//! From the whole config to the few settings that each module needs.

use std::num::NonZeroU32;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use crate::config::{Config, Durability, Key, Level, Parsed};
use crate::control;
use crate::management::{Token, TokenError};
use crate::server::ClientSettings;
use crate::store;

/// The settings on the command line; they override the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CommandLine {
    pub(crate) port: Option<u16>,
    pub(crate) max_connections: Option<NonZeroU32>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    /// The log file of a server that `start` began.
    pub(crate) log_file: Option<PathBuf>,
    /// The management socket if the file names none: in the directory that systemd has made for it.
    pub(crate) socket: Option<PathBuf>,
}

impl CommandLine {
    /// The file's settings, overridden by the command line's. `max_connections` is left alone:
    /// which of the two applies depends on later events, which only control knows.
    pub(crate) fn over(&self, file: &Config) -> Config {
        let mut config = file.clone();
        if let Some(port) = self.port {
            config.port = port;
        }
        if let Some(data_dir) = &self.data_dir {
            config.storage.path = Some(data_dir.clone());
        }
        if config.management.socket.is_none() {
            config.management.socket = self.socket.clone();
        }
        config
    }
}

/// Checks that the settings do not conflict; the error says in words what is wrong.
pub(crate) fn validate(config: &Config) -> Result<(), String> {
    config
        .validate()
        .map_err(|conflicts| conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The running settings after a reload: live ones from `wanted`, those that need a restart from `running`.
pub(crate) fn live_of(wanted: &Config, running: &Config) -> Config {
    let mut config = wanted.clone();
    for key in Key::ALL.into_iter().filter(|key| !key.effect().is_live()) {
        key.copy(&mut config, running);
    }
    config
}

/// The token that management requires, if any.
pub(crate) fn token(config: &Config) -> Result<Option<Token>, TokenError> {
    config.management.token_file.as_deref().map(Token::read).transpose()
}

/// The limit in the file, if it names one.
pub(crate) fn file_limit(file: &Parsed) -> Option<NonZeroU32> {
    file.set.contains(&Key::MaxConnections).then_some(file.config.max_connections)
}

pub(crate) fn control(config: &Config) -> control::Settings {
    control::Settings { step: config.limits.signal_step, persist: config.limits.persist }
}

pub(crate) fn client(config: &Config) -> ClientSettings {
    ClientSettings {
        login_timeout: config.client.login_timeout,
        idle_timeout: config.client.idle_timeout,
        request_timeout: config.client.request_timeout,
        max_request: config.client.max_request,
        max_inflight: config.client.max_inflight_bytes,
    }
}

pub(crate) fn durability(config: &Config) -> store::Durability {
    match config.storage.durability {
        Durability::Always => store::Durability::Always,
        Durability::EverySecond => store::Durability::EverySecond,
    }
}

pub(crate) fn level(config: &Config) -> LevelFilter {
    match config.log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// Values of every form; of each setting, at least one is allowed and not the default.
    const VALUES: [&str; 10] =
        ["77", "false", "true", "'7s'", "'7MiB'", "'1s'", "'debug'", "'0600'", "'/srv/7'", "'127.0.0.2'"];

    /// The config of a file that sets `key` to something other than its default.
    fn edited(key: Key) -> Config {
        VALUES
            .into_iter()
            .filter_map(|value| config::parse(format!("{key} = {value}\n").as_bytes()).ok())
            .map(|parsed| parsed.config)
            .find(|config| key.value(config) != key.default_value())
            .unwrap_or_else(|| panic!("no value for {key}: add one"))
    }

    #[test]
    fn a_reload_takes_over_what_the_table_says_is_live_and_nothing_else() {
        let running = Config::default();
        for key in Key::ALL {
            let wanted = edited(key);
            let reloaded = live_of(&wanted, &running);
            assert_eq!(reloaded == wanted, key.effect().is_live(), "{key} is {}", key.effect());
            assert_eq!(reloaded == running, !key.effect().is_live(), "{key} is {}", key.effect());
        }
    }
}
