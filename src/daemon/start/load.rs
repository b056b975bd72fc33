//! The first reading of the settings: config file, command line, token.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::reload::Loaded;
use super::super::settings::{self, CommandLine};
use super::super::trouble::Problems;
use super::super::{DEFAULT_CONFIG, RunError, files, may_pass, paths};
use super::progress::Stage;
use crate::config::{self, Parsed};
use crate::management::TokenError;

/// Reads the config file, if there is one, and applies the command line over it.
pub(super) fn load(mut command_line: CommandLine, stage: &Stage) -> Result<Loaded, RunError> {
    // A later reader of the path has another working directory.
    if let Some(named) = &mut command_line.data_dir {
        *named = std::path::absolute(&*named).map_err(RunError::file("find", &*named))?;
    }
    let path = command_line.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
    let path = std::path::absolute(&path).map_err(RunError::file("find", &path))?;
    stage.reading(&path);
    let (file, text) = match files::read_at_start(&path) {
        Ok(text) => (config::parse_file(&path, &text)?, text),
        Err(error) if error.is_missing() && command_line.config.is_none() => (Parsed::default(), Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let wanted = command_line.over(&file.config);
    settings::validate(&wanted).map_err(|problem| match command_line.port {
        Some(_) => RunError::Usage(problem),
        None => RunError::Config(format!("{}: {problem}", path.display())),
    })?;
    if let Some(token_file) = &wanted.management.token_file {
        stage.reading(token_file);
    }
    let token = settings::token(&wanted).map_err(|problem| {
        let words = format!("{}: {problem}", path.display());
        match problem {
            TokenError::Read { source, .. } if may_pass(&source) => RunError::Unreadable(words),
            _ => RunError::Config(words),
        }
    })?;
    Ok(Loaded {
        running: wanted.clone(),
        wanted,
        set_at_start: file.set.clone(),
        file,
        token,
        command_line,
        default_data_dir: paths::data_dir(None).ok(),
        path,
        text: Ok(text),
        last_reload: None,
        problems: Problems::default(),
        in_force_since: Timestamp::now(),
    })
}

/// The data directory for this config file and command line, for `start`, which keeps its log there.
///
/// # Errors
/// [`RunError`] if the file is invalid or there is no default directory.
pub(crate) fn data_dir_for(config: Option<&Path>, named: Option<&Path>) -> Result<PathBuf, RunError> {
    let command_line = CommandLine {
        config: config.map(Path::to_owned),
        data_dir: named.map(Path::to_owned),
        ..CommandLine::default()
    };
    let loaded = load(command_line, &Stage::default())?;
    Ok(paths::data_dir(loaded.running.storage.path.as_deref())?)
}
