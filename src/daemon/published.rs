//! Publishes settings to other modules: to each the few that it needs, whenever they change.

use std::sync::Arc;

use tokio::sync::watch;

use super::reload::Loaded;
use super::{report, settings};
use crate::management::{Token, wire};
use crate::metrics::ConfigState;
use crate::server::ClientSettings;

/// A subscriber to one of these has the value in force, and is notified of every new one.
pub(super) struct Published {
    pub(super) client_settings: watch::Sender<ClientSettings>,
    pub(super) token: watch::Sender<Option<Token>>,
    pub(super) config_report: watch::Sender<Arc<wire::LoadedConfig>>,
    pub(super) config_state: watch::Sender<ConfigState>,
}

impl Published {
    pub(super) fn new(loaded: &Loaded) -> Self {
        Self {
            client_settings: watch::Sender::new(settings::client(&loaded.running)),
            token: watch::Sender::new(loaded.token.clone()),
            config_report: watch::Sender::new(Arc::new(report::config(loaded))),
            config_state: watch::Sender::new(report::state(loaded)),
        }
    }

    pub(super) fn publish(&self, loaded: &Loaded) {
        self.client_settings.send_replace(settings::client(&loaded.running));
        self.token.send_replace(loaded.token.clone());
        self.config_report.send_replace(Arc::new(report::config(loaded)));
        self.config_state.send_replace(report::state(loaded));
    }
}
