//! The files that a running server follows: the config file, and the token file of the management API. Each is
//! checked, read and parsed on a thread of its own, so that a hanging file system blocks nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::reload::{Loaded, ReloadError};
use crate::config::{self, LoadError, Parsed};
use crate::management::{Token, TokenError};
use crate::watch::{Follower, NotRead, Reading, Unfinished};

/// How long to wait for a config file whose last line does not end: a writer may be in the middle of it.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);

/// The same for a token, which people often write without a line break.
const TOKEN_MAX_WAIT: Duration = Duration::from_millis(500);

/// The same for the config file at the start, while the operator waits.
const MAX_WAIT_AT_START: Duration = Duration::from_secs(2);

/// How often it is checked meanwhile.
const LOOK_AT_START: Duration = Duration::from_millis(50);

/// The files that are followed.
pub(super) struct Files {
    config: Follower<ConfigReading>,
    token: Option<Follower<TokenReading>>,
}

/// The contents of a file that may have changed.
pub(super) enum Found {
    Config(Box<ConfigReading>),
    Token(TokenReading),
}

/// The contents of the config file, or why it cannot be read.
pub(super) type ConfigReading = Result<ConfigText, LoadError>;

/// The text of a config file, and what it means.
#[derive(Debug)]
pub(super) struct ConfigText {
    pub(super) bytes: Vec<u8>,
    pub(super) parsed: Result<Parsed, LoadError>,
    /// The problem with the token file that it names, if that is not the one in use: the next start
    /// could not use it.
    pub(super) other_token: Option<TokenError>,
}

/// The contents of the token file.
pub(super) type TokenReading = Result<Token, TokenError>;

impl Files {
    /// Starts following the files of these settings.
    pub(super) fn follow(loaded: &Loaded) -> io::Result<Self> {
        let token_file = loaded.running.management.token_file.clone();
        let token = token_file.clone().map(|path| {
            Follower::start("token file", path, TOKEN_MAX_WAIT, |path| match Token::read_whole(path) {
                Ok((token, complete)) => Reading { value: Ok(token), complete },
                // Nothing of it is used.
                Err(error) => Reading { value: Err(error), complete: true },
            })
        });
        let read = move |path: &Path| read_config(path, token_file.as_deref());
        let config = Follower::start("config file", loaded.path.clone(), MAX_WAIT, read)?;
        Ok(Self { config, token: token.transpose()? })
    }

    /// The contents of a file that may have changed; `None` if a thread has ended. Cancel safe.
    pub(super) async fn changed(&mut self) -> Option<Found> {
        let Self { config, token } = self;
        let token = async {
            match token {
                Some(token) => token.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            found = config.changed() => found.map(Box::new).map(Found::Config),
            found = token => found.map(Found::Token),
        }
    }

    /// The current contents of the config file.
    pub(super) async fn read_config(&mut self, path: &Path) -> Result<ConfigReading, ReloadError> {
        self.config
            .read()
            .await
            .map_err(|why| not_read("config", "the settings in force stay", path.to_owned(), why))
    }

    /// The current contents of the token file; `None` if there is none.
    pub(super) async fn read_token(&mut self, path: PathBuf) -> Option<Result<TokenReading, ReloadError>> {
        let token = self.token.as_mut()?;
        let mut result = token.read().await;
        if matches!(result, Err(NotRead::Unfinished(Unfinished::Incomplete))) {
            tokio::time::sleep(TOKEN_MAX_WAIT).await;
            result = token.read().await;
        }
        Some(result.map_err(|why| not_read("token", "the token in force stays", path, why)))
    }

    /// Since when the file systems of the config file and of the token file have not answered.
    pub(super) fn silent_since(&mut self) -> [Option<jiff::Timestamp>; 2] {
        [self.config.silent_since(), self.token.as_mut().and_then(Follower::silent_since)]
    }
}

fn not_read(file: &'static str, stays: &'static str, path: PathBuf, why: NotRead) -> ReloadError {
    match why {
        NotRead::Unfinished(Unfinished::BeingWritten) => ReloadError::BeingWritten(path),
        NotRead::Unfinished(Unfinished::Incomplete) => ReloadError::Incomplete(path),
        NotRead::Silent(since) => ReloadError::Silent { file, stays, path, since },
        NotRead::Ended => ReloadError::Unwatched(path),
    }
}

fn read_config(path: &Path, token_file: Option<&Path>) -> Reading<ConfigReading> {
    let value = config::read(path).map(|bytes| {
        let parsed = config::parse_file(path, &bytes);
        let named = parsed.as_ref().ok().and_then(|parsed| parsed.config.management.token_file.as_deref());
        let other_token = named.filter(|&named| Some(named) != token_file);
        ConfigText { other_token: other_token.and_then(|named| Token::read(named).err()), parsed, bytes }
    });
    let complete = value.as_ref().map_or(true, |text| is_complete(&text.bytes));
    Reading { value, complete }
}

/// Whether the last line ends, so that no more is expected.
fn is_complete(text: &[u8]) -> bool {
    text.ends_with(b"\n")
}

/// Reads the config file for the first time, when no watcher has seen it being written.
///
/// # Errors
/// [`LoadError`]
pub(super) fn read_at_start(path: &Path) -> Result<Vec<u8>, LoadError> {
    let begun = Instant::now();
    loop {
        let text = config::read(path)?;
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        let is_old = age.is_none_or(|age| age >= MAX_WAIT_AT_START);
        if is_complete(&text) || is_old || begun.elapsed() >= MAX_WAIT {
            return Ok(text);
        }
        std::thread::sleep(LOOK_AT_START);
    }
}
