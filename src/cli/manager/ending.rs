//! What `shibudb stop` can learn from a server that is shutting down.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::api::Api;
use super::endpoint::{Endpoint, LOCAL, PORT_OFFSET};
use crate::config::parse_duration;
use crate::management::wire::{ConfigReport, CurrentLimit};

/// The state of a server that is shutting down. Not available if the server hangs, requires a token or has another
/// management port.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How long its connections may take to end.
    pub(crate) drain_timeout: Option<Duration>,
    /// How many are open.
    pub(crate) active: Option<u32>,
}

/// Asks the server on this port of this machine, for no longer than `max_wait`.
pub(crate) async fn ask_while_ending(port: u16, max_wait: Duration) -> Told {
    timeout(max_wait, ask(port, max_wait)).await.ok().flatten().unwrap_or_default()
}

async fn ask(port: u16, max_wait: Duration) -> Option<Told> {
    let endpoint = Endpoint::Network { host: LOCAL.to_owned(), port: port.checked_add(PORT_OFFSET)? };
    let api = Api::new(endpoint, None, max_wait).ok()?;
    let config = api.get::<ConfigReport>("/config").await.ok()?.value;
    // Another server may have this port for its management.
    if config.setting("port").and_then(Value::as_u64) != Some(port.into()) {
        return None;
    }
    let drain_timeout =
        config.setting("shutdown.drain_timeout").and_then(Value::as_str).and_then(parse_duration);
    let active = api.get::<CurrentLimit>("/limit").await.ok()?.value.active_connections;
    Some(Told { drain_timeout, active: Some(active) })
}
