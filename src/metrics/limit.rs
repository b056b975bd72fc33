//! Connections, the limit, its changes, and the config file.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tokio::sync::watch;

use super::{ConfigState, counter, gauge, seconds};
use crate::control::{Attempts, Control, LimitState};
use crate::limiter::Limiter;

#[derive(Debug)]
pub(super) struct Connections {
    pub(super) limiter: Limiter,
}

#[derive(Debug)]
pub(super) struct Changes {
    pub(super) control: Control,
    pub(super) config: watch::Receiver<ConfigState>,
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        // Both of one instant, so that no ratio exceeds one.
        let now = self.limiter.snapshot();
        let totals = self.limiter.totals();
        gauge(encoder, "connections", None, "Client connections that are open", now.active)?;
        gauge(encoder, "connections_limit", None, "How many may be open at once", now.limit)?;
        gauge(
            encoder,
            "connections_ceiling",
            None,
            "The highest limit that this process has file descriptors for",
            self.limiter.ceiling(),
        )?;
        gauge(
            encoder,
            "connections_peak",
            None,
            "The most connections that were open at once since the start",
            totals.peak,
        )?;
        let accepted = "Connections that were let in";
        counter(encoder, "connections_accepted", None, accepted, totals.accepted)?;
        let rejected = "Connections that were turned away because the limit was reached";
        counter(encoder, "connections_rejected", None, rejected, totals.rejected)
    }
}

impl Collector for Changes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut changes = encoder.encode_descriptor(
            "limit_changes",
            "Attempts to change the limit, by the way they came in and what became of them",
            None,
            MetricType::Counter,
        )?;
        for Attempts { door, applied, refused } in self.control.history().attempts() {
            for (outcome, count) in [("applied", applied), ("refused", refused)] {
                changes
                    .encode_family(&[("door", door.to_string().as_str()), ("outcome", outcome)])?
                    .encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        let unwritten = "Attempts that could not be written to the history file";
        let count = self.control.history().unwritten();
        counter(&mut encoder, "limit_changes_unwritten", None, unwritten, count)?;
        let limit_state = self.control.limit_state();
        let edit_refused = limit_state.refused_edit.is_some();
        encode_standing(limit_state, &mut encoder)?;
        self.encode_config(edit_refused, &mut encoder)
    }
}

impl Changes {
    fn encode_config(&self, edit_refused: bool, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ConfigState { in_force, since } = *self.config.borrow();
        let successful =
            "1 if what the config file said when it was last read is in force, its limit included";
        let is_in_force = u32::from(in_force && !edit_refused);
        gauge(encoder, "config_last_reload_successful", None, successful, is_in_force)?;
        gauge(
            encoder,
            "config_last_reload_success_timestamp",
            Some(&Unit::Seconds),
            "When the config file was last read and put in force",
            seconds(since),
        )
    }
}

fn encode_standing(limit_state: LimitState, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let configured = "The limit that the command line or the config file asks for";
    gauge(encoder, "connections_limit_configured", None, configured, limit_state.base)?;
    let is_active = u32::from(limit_state.override_.is_some());
    let active = "1 while a limit set at run time is in force instead of the configured one";
    gauge(encoder, "limit_override_active", None, active, is_active)?;
    // Without an override any time would be misleading.
    let since = "When that limit was set; absent while there is none";
    let mut metric = encoder.encode_descriptor(
        "limit_override_timestamp",
        since,
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    limit_state.override_.map_or(Ok(()), |override_| metric.encode_gauge(&seconds(override_.time)))
}
