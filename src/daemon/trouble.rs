//! Files that cannot be read or used: the previous contents stay in force, and reports show since when.

use std::path::Path;

use jiff::Timestamp;

use super::files::TokenReading;
use super::reload::{LastReload, Loaded, Reloader};
use crate::control::Door;

/// The current problems of the files, apart from the last reload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Problems {
    /// Since when the file system of the config file has not answered.
    pub(crate) config_silent: Option<Timestamp>,
    /// The same for the token file.
    pub(crate) token_silent: Option<Timestamp>,
    /// Why the token file cannot be used.
    pub(crate) token: Option<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) since: Timestamp,
    pub(crate) what: String,
}

/// The message for a file whose file system hangs.
pub(crate) fn silent(file: &str, stays: &str, path: &Path, since: Timestamp) -> String {
    format!(
        "the {file} file {} has not been readable since {}: its file system does not respond; {stays}",
        path.display(),
        since.strftime("%Y-%m-%d %H:%M:%S UTC")
    )
}

impl Loaded {
    /// Every file with a problem, since when, and what is wrong.
    pub(crate) fn troubled_files(&self) -> Vec<(&Path, Problem)> {
        let Problems { config_silent, token_silent, token } = &self.problems;
        let config = &*self.path;
        let token_file = self.running.management.token_file.as_deref().unwrap_or(Path::new(""));
        let hangs =
            |since: &Timestamp| Problem { since: *since, what: "its file system does not respond".into() };
        let silent = [(config, config_silent), (token_file, token_silent)];
        let silent = silent.into_iter().filter_map(|(path, since)| Some((path, hangs(since.as_ref()?))));
        silent.chain(token.iter().map(|problem| (token_file, problem.clone()))).collect()
    }
}

impl Reloader {
    /// Applies the content of the token file. An unusable one changes nothing.
    pub(super) fn take_token(&self, reading: &TokenReading) {
        let (path, problem) = {
            let loaded = self.loaded.borrow();
            (loaded.running.management.token_file.clone().unwrap_or_default(), loaded.problems.token.clone())
        };
        let path = path.display();
        match reading {
            Ok(token) => {
                let is_new = self.loaded.borrow().token.as_ref() != Some(token);
                if !is_new && problem.is_none() {
                    return;
                }
                if is_new {
                    tracing::info!(door = %Door::Config, actor = %path, "new management API token read from token \
                        file {path}; the old token is refused from now on");
                } else {
                    tracing::info!(door = %Door::Config, actor = %path, "token file {path} can be used again");
                }
                self.loaded.send_modify(|loaded| {
                    loaded.token = Some(token.clone());
                    loaded.problems.token = None;
                    if let Some(last) = loaded.last_reload.as_mut().filter(|last| last.token_failed) {
                        let (time, door) = (Timestamp::now(), Door::Config);
                        *last = LastReload { time, door, result: Ok(()), token_failed: false };
                    }
                });
            }
            Err(error) => {
                let what = error.to_string();
                if problem.is_some_and(|problem| problem.what == what) {
                    return;
                }
                tracing::error!(target: "shibudb::reload::failed", door = %Door::Config, actor = %path,
                    "the management API token is unchanged: {what}");
                let problem = Problem { since: Timestamp::now(), what };
                self.loaded.send_modify(|loaded| loaded.problems.token = Some(problem));
            }
        }
    }

    /// Records since when the file systems of the files have not answered. Returns whether that is new.
    pub(super) fn note_silence(&self, [config, token]: [Option<Timestamp>; 2]) -> bool {
        let (before, path, token_file) = {
            let loaded = self.loaded.borrow();
            let token_file = loaded.running.management.token_file.clone();
            (loaded.problems.clone(), loaded.path.clone(), token_file.unwrap_or_default())
        };
        if (before.config_silent, before.token_silent) == (config, token) {
            return false;
        }
        for (file, stays, path, before, now) in [
            ("config", "the settings in force stay", path, before.config_silent, config),
            ("token", "the token in force stays", token_file, before.token_silent, token),
        ] {
            match (before, now) {
                (None, Some(since)) => {
                    tracing::error!(target: "shibudb::reload::failed", door = %Door::Config,
                    actor = %path.display(), "{}", silent(file, stays, &path, since))
                }
                (Some(_), None) => tracing::info!(door = %Door::Config, actor = %path.display(),
                    "the {file} file {} can be read again", path.display()),
                _ => {}
            }
        }
        self.loaded.send_modify(|loaded| {
            loaded.problems.config_silent = config;
            loaded.problems.token_silent = token;
        });
        true
    }
}
