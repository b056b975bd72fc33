//! Log lines that were dropped.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::counter;
use crate::logging::Log;

#[derive(Debug)]
pub(super) struct Lines {
    pub(super) log: Log,
}

impl Collector for Lines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Log lines that were dropped, since nobody took them in time or they could not be written";
        counter(&mut encoder, "log_lines_dropped", None, help, self.log.dropped())
    }
}
