//! What a stopping server is still doing, as far as other processes can see it.
//!
//! Its management API answers until the end, if possible: on its usual port, and if it requires no token. The kernel's
//! information about the process is always available.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cli::manager::{Told, ask_while_ending};
use crate::daemon::Running;

/// How long the management API may take. Its answer is optional.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How long the end may take beyond `shutdown.drain_timeout`: to close the store and write the log.
const MORE: Duration = Duration::from_secs(10);

/// The `shutdown.drain_timeout` of a server that does not report it: the default.
const USUAL: Duration = Duration::from_secs(30);

/// The end of a server.
pub(super) struct Ending<'s> {
    port: u16,
    server: &'s Running,
    runtime: Runtime,
    /// How long its connections may take, as it has reported.
    drain_timeout: Option<Duration>,
}

impl<'s> Ending<'s> {
    pub(super) fn of(port: u16, server: &'s Running) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { port, server, runtime, drain_timeout: None })
    }

    /// How long it may take in all.
    pub(super) fn longest(&self) -> Duration {
        self.drain_timeout.unwrap_or(USUAL).saturating_add(MORE)
    }

    /// What it is doing.
    pub(super) fn look(&mut self) -> String {
        // Before the request: it could not answer.
        if self.server.state() == Some('T') {
            return format!(
                "the process is suspended (by SIGSTOP or a terminal); `kill -CONT {}` resumes it",
                self.server.pid
            );
        }
        let Told { drain_timeout, active } = self.runtime.block_on(ask_while_ending(self.port, MAX_WAIT));
        self.drain_timeout = self.drain_timeout.or(drain_timeout);
        match active {
            Some(0) => {
                "no connections are open; it is sending the last answers and closing its store".to_owned()
            }
            Some(active) => {
                let plural = if active == 1 { " is" } else { "s are" };
                let longest =
                    self.drain_timeout.map(|time| format!(" (drain_timeout is {} s)", time.as_secs()));
                format!("{active} connection{plural} still open{}", longest.unwrap_or_default())
            }
            None => "its management port does not answer".to_owned(),
        }
    }
}
