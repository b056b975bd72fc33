//! Requests to the management API that were denied.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::management::{Denials, Denied};

#[derive(Debug)]
pub(super) struct Management {
    pub(super) denials: Arc<Denials>,
}

impl Collector for Management {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests to the management API that were denied, by reason";
        let mut denied = encoder.encode_descriptor("management_denied", help, None, MetricType::Counter)?;
        let Denied { wrong_token, no_token } = self.denials.total();
        for (reason, count) in [("wrong_token", wrong_token), ("no_token", no_token)] {
            denied
                .encode_family(&[("reason", reason)])?
                .encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }
}
