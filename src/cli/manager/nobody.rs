//! The advice for a request without an answer: which address was tried, and which one the user may have meant.
//!
//! The founding document prescribes the line above the advice word for word, so the advice follows on further lines.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Group};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::api::{Api, ApiError};
use super::endpoint::{Endpoint, PORT_OFFSET};
use crate::management::wire::{ConfigReport, Health, SERVICE};
use crate::owner;

/// How long to probe a port that the user may have meant.
const LOOK: Duration = Duration::from_secs(1);

/// The advice as lines, each with a line break before it.
#[derive(Debug)]
pub struct Nobody(String);

impl Nobody {
    /// Finds the reason why `place` did not answer. `port` is the port that the user typed, if the management port was
    /// derived from it.
    pub(super) async fn look(endpoint: &Endpoint, error: &ApiError, port: Option<u16>) -> Self {
        let ApiError::Unreachable { refused, .. } = error else { return Self(String::new()) };
        let lines = match (endpoint, port) {
            (Endpoint::Socket(path), _) => vec![of_socket(path, *refused)],
            (endpoint, _) if !refused => vec![format!("Tried {endpoint}.")],
            (Endpoint::Network { host, .. }, Some(port)) => {
                let mut lines =
                    vec![format!("No process listens on {endpoint}, the management port of {port}.")];
                lines.push(instead(host, port).await);
                lines
            }
            (endpoint, None) => vec![format!("No process listens on {endpoint}.")],
        };
        Self(lines.into_iter().fold(String::new(), |text, line| text + "\n" + &line))
    }
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The advice if the management port of `port` has no listener.
async fn instead(host: &str, port: u16) -> String {
    let below = port.checked_sub(PORT_OFFSET).filter(|&below| below > 0);
    // Only if both ports of a pair have a listener: a client port would count the request as a failed login.
    if let Some(below) = below
        && listens(host, below).await
        && let Some(clients) = client_port(host, port).await
    {
        return format!(
            "{port} is the management port of {clients}: type `shibudb manager {clients}` instead."
        );
    }
    if listens(host, port).await {
        return format!(
            "A process listens on port {port} itself. If it is shibudb, it uses another management port: give it \
             with --management-port."
        );
    }
    "Check that the server is running and that the port is right.".to_owned()
}

async fn listens(host: &str, port: u16) -> bool {
    timeout(LOOK, TcpStream::connect((host, port))).await.is_ok_and(|connected| connected.is_ok())
}

/// The client port of the server whose management API listens on `port`; `None` if `port` is not a management port.
pub(crate) async fn client_port(host: &str, port: u16) -> Option<u16> {
    let look = async {
        let api = Api::new(Endpoint::Network { host: host.to_owned(), port }, None, LOOK).ok()?;
        let health = api.get::<Health>("/health").await.ok()?.value;
        if health.service != SERVICE {
            return None;
        }
        // It may ask for a token.
        let config = api.get::<ConfigReport>("/config").await.ok();
        let configured = config.and_then(|config| config.value.setting("port").and_then(Value::as_u64));
        configured.and_then(|port| u16::try_from(port).ok()).or(port.checked_sub(PORT_OFFSET))
    };
    timeout(LOOK, look).await.ok().flatten()
}

/// The advice for a Unix socket to which the connection failed.
fn of_socket(path: &Path, refused: bool) -> String {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return format!(
                "{shown} does not exist. The server creates the socket named by management.socket in its config file."
            );
        }
        Err(error) => return format!("Tried {shown}, which cannot be inspected: {error}."),
    };
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        let (uid, gid) = (found.uid(), Gid::from_raw(found.gid()));
        let user = owner::name_of(uid).unwrap_or_else(|| uid.to_string());
        let group = Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
        return format!(
            "{shown} is owned by user {user} and group {group}, mode {:04o}; only users with write permission can \
             connect.",
            found.mode() & 0o7777
        );
    }
    if refused {
        format!("No process listens on {shown}: the server that created it has exited.")
    } else {
        format!("Tried {shown}.")
    }
}
