//! Settings and reloads in the words of the management API.

use std::path::Path;

use serde_json::Value;

use super::reload::{Loaded, ReloadError, Reloaded};
use super::trouble::Problem;
use crate::config::{Change, Config, Key};
use crate::control::{ConfigureOutcome, LimitRefusal};
use crate::management::{ReloadRefusal, wire};
use crate::metrics::ConfigState;

/// The daemon's part of `GET /config`.
pub(super) fn config(loaded: &Loaded) -> wire::LoadedConfig {
    let path = loaded.path.display().to_string();
    let (file, awaited_file) = if loaded.has_file() { (Some(path), None) } else { (None, Some(path)) };
    wire::LoadedConfig {
        file,
        awaited_file,
        settings: Key::ALL.into_iter().map(|key| setting(key, loaded)).collect(),
        last_reload: loaded.last_reload.as_ref().map(|last| wire::LastReload {
            time: last.time,
            door: last.door.to_string(),
            outcome: if last.result.is_ok() { wire::ReloadOutcome::Ok } else { wire::ReloadOutcome::Failed },
            error: last.result.clone().err(),
        }),
        troubled_files: loaded.troubled_files().into_iter().map(troubled_file).collect(),
        log_file: loaded.command_line.log_file.as_ref().map(|path| path.display().to_string()),
    }
}

/// The same for the metrics.
pub(super) fn state(loaded: &Loaded) -> ConfigState {
    let in_force = loaded.last_reload.as_ref().is_none_or(|last| last.result.is_ok())
        && loaded.problems.config_silent.is_none();
    ConfigState { in_force, since: loaded.in_force_since }
}

/// The answer to `POST /reload`.
pub(super) fn reload(
    loaded: &Loaded,
    result: Result<Reloaded, ReloadError>,
) -> Result<wire::ReloadReport, ReloadRefusal> {
    match result {
        Ok(Reloaded { changed, waiting, limit, .. }) => {
            let changed_setting = |change: &Change| changed_setting(change, loaded);
            let mut changed: Vec<_> = changed.iter().map(changed_setting).collect();
            let mut refused = Vec::new();
            match limit {
                ConfigureOutcome::Unchanged => {}
                ConfigureOutcome::Applied(change) => changed.push(wire::ChangedSetting {
                    key: Key::MaxConnections.name().into(),
                    old: change.old.into(),
                    new: change.new.into(),
                }),
                ConfigureOutcome::Refused { wanted, refusal } => refused.push(wire::RefusedSetting {
                    key: Key::MaxConnections.name().into(),
                    value: wanted.into(),
                    waits: refusal.may_pass(),
                    reason: refusal.to_string(),
                }),
            }
            let waiting = waiting.iter().map(changed_setting).collect();
            let file = config(loaded).file;
            Ok(wire::ReloadReport::new(file, changed, waiting, refused))
        }
        Err(ReloadError::ShuttingDown(LimitRefusal::ShuttingDown)) => Err(ReloadRefusal::ShuttingDown),
        Err(error) => Err(ReloadRefusal::Invalid(error.to_string())),
    }
}

fn troubled_file((path, Problem { since, what }): (&Path, Problem)) -> wire::TroubledFile {
    wire::TroubledFile { file: path.display().to_string(), since, problem: what }
}

fn setting(key: Key, loaded: &Loaded) -> wire::Setting {
    let running = shown(key, &loaded.running, loaded);
    let wanted = shown(key, &loaded.wanted, loaded);
    let on_command_line = match key {
        Key::Port => loaded.command_line.port.is_some(),
        Key::StoragePath => loaded.command_line.data_dir.is_some(),
        _ => false,
    };
    let source = if on_command_line {
        wire::Source::CommandLine
    } else if is_of_file(key, loaded) {
        wire::Source::File
    } else {
        wire::Source::Default
    };
    wire::Setting {
        key: key.name().into(),
        default: value(default(key, loaded)),
        source,
        live: key.effect().is_live(),
        effect: key.effect().to_string(),
        pending: (running != wanted).then(|| value(wanted)),
        value: value(running),
    }
}

/// The value of a setting in this configuration. For the data directory, the actual one, named or not.
fn shown(key: Key, config: &Config, loaded: &Loaded) -> Option<String> {
    key.value(config).or_else(|| default(key, loaded))
}

/// The built-in default.
fn default(key: Key, loaded: &Loaded) -> Option<String> {
    match key {
        Key::StoragePath => loaded.default_data_dir.as_ref().map(|path| path.display().to_string()),
        Key::ManagementPort => key.value(&Config { port: loaded.running.port, ..Config::default() }),
        _ => key.default_value(),
    }
}

/// Whether the running value comes from the file. A setting that needs a restart, and was added to the file
/// or removed from it since the start, still has its source at the start.
fn is_of_file(key: Key, loaded: &Loaded) -> bool {
    let named = if key.effect().is_live() { &loaded.file.set } else { &loaded.set_at_start };
    named.contains(&key)
}

fn changed_setting(change: &Change, loaded: &Loaded) -> wire::ChangedSetting {
    let or_default = |text: &Option<String>| value(text.clone().or_else(|| default(change.key, loaded)));
    wire::ChangedSetting {
        key: change.key.name().into(),
        old: or_default(&change.old),
        new: or_default(&change.new),
    }
}

/// A setting's text as JSON: numbers and booleans as such, anything else as a string.
fn value(text: Option<String>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
