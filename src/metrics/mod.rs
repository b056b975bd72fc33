//! Metrics of a running server, in Prometheus' format.
//!
//! Nothing is stored here: every scrape reads each number from its owner. Names, units and suffixes follow Prometheus'
//! guidelines; metrics of any process (`process_*`) have their usual names.
//!
//! | file | what |
//! |---|---|
//! | [`limit`] | connections, the limit, its changes, the config file |
//! | [`requests`] | requests, logins, panics |
//! | [`store`] | what is stored, and how it gets there |
//! | [`management`] | requests to the API that were denied |
//! | [`log`] | log lines that were dropped |
//! | [`process`] | descriptors, memory, processor time |

mod limit;
mod log;
mod management;
mod process;
mod requests;
mod store;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::control::Control;
use crate::limiter::Limiter;
use crate::logging::Log;
use crate::management::Denials;
use crate::server::Counters;
use crate::store::Store;

/// The sources of the numbers.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Counts connections.
    pub limiter: Limiter,
    /// Counts changes of the limit.
    pub control: Control,
    /// Counts requests.
    pub counters: Arc<Counters>,
    /// Counts its own work.
    pub store: Store,
    /// Counts requests to the management API without the right token.
    pub denials: Arc<Denials>,
    /// The state of the config file.
    pub config: watch::Receiver<ConfigState>,
    /// Counts the lines that it could not write.
    pub log: Log,
}

/// The state of the config file when it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConfigState {
    /// Whether its content is in force.
    pub in_force: bool,
    /// Since when the settings in force are so.
    pub since: Timestamp,
}

/// All metrics, ready to encode.
pub(crate) fn registry(sources: Sources) -> Registry {
    let Sources { limiter, control, counters, store, denials, config, log } = sources;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Process::of_this()));
    let own = registry.sub_registry_with_prefix("shibudb");
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("arch", std::env::consts::ARCH),
        ("os", std::env::consts::OS),
    ];
    own.register("build", "Which shibudb this is", Info::new(labels));
    own.register_collector(Box::new(limit::Connections { limiter }));
    own.register_collector(Box::new(limit::Changes { control, config }));
    own.register_collector(Box::new(requests::Requests { counters }));
    own.register_collector(Box::new(store::Stored { store }));
    own.register_collector(Box::new(management::Management { denials }));
    own.register_collector(Box::new(log::Lines { log }));
    registry
}

/// One metric without labels.
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&Unit>,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
}

/// A counter without labels. `_total` is added to its name.
fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&Unit>,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, unit, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, f64>(&value, None)
}

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit")]
fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
