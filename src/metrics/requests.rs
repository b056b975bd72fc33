//! Requests, logins, and how connections ended.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::{counter, gauge};
use crate::server::{Answered, Counters, Counts, Timing};

#[derive(Debug)]
pub(super) struct Requests {
    pub(super) counters: Arc<Counters>,
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.counters.read();
        encode_requests(&mut encoder, &counts.requests)?;
        encode_durations(&mut encoder, &counts.requests)?;
        encode_logins(&mut encoder, &counts)?;
        encode_endings(&mut encoder, &counts)?;
        encode_memory(&mut encoder, &counts)?;
        let panics = "Sessions that ended in a panic: faults of the server";
        counter(&mut encoder, "session_panics", None, panics, counts.panicked)
    }
}

fn labels(Answered { kind, outcome }: Answered) -> [(&'static str, String); 2] {
    [("type", kind.name().to_ascii_lowercase()), ("outcome", outcome.name().to_owned())]
}

fn encode_requests(encoder: &mut DescriptorEncoder<'_>, timings: &[Timing]) -> fmt::Result {
    let help = "Requests that were answered, by type and outcome";
    let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for timing in timings {
        requests
            .encode_family(&labels(timing.of))?
            .encode_counter::<NoLabelSet, _, f64>(&timing.count(), None)?;
    }
    Ok(())
}

/// Only those that occurred: sixty histograms, most of them empty, would be a thousand series.
fn encode_durations(encoder: &mut DescriptorEncoder<'_>, timings: &[Timing]) -> fmt::Result {
    let mut durations = encoder.encode_descriptor(
        "request_duration",
        "From when the server learnt of the input until the answer was handed to the kernel; requests that \
         came together are timed together",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for timing in timings {
        let count = timing.count();
        if count > 0 {
            durations.encode_family(&labels(timing.of))?.encode_histogram::<NoLabelSet>(
                timing.took.as_secs_f64(),
                count,
                &timing.buckets,
                None,
            )?;
        }
    }
    Ok(())
}

fn encode_logins(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let mut logins = encoder.encode_descriptor("logins", "Logins, by outcome", None, MetricType::Counter)?;
    for (outcome, count) in [("ok", counts.logins), ("denied", counts.logins_denied)] {
        logins.encode_family(&[("outcome", outcome)])?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
    }
    Ok(())
}

fn encode_endings(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let help = "Connections that ended, by reason";
    let mut closed = encoder.encode_descriptor("connections_closed", help, None, MetricType::Counter)?;
    for (ending, count) in &counts.endings {
        closed
            .encode_family(&[("reason", ending.name())])?
            .encode_counter::<NoLabelSet, _, f64>(count, None)?;
    }
    Ok(())
}

fn encode_memory(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let inflight = "What requests in flight take; reading pauses when it is too much";
    gauge(encoder, "inflight", Some(&Unit::Bytes), inflight, counts.inflight as u64)?;
    let waiting = "Connections that are not read from until there is memory";
    gauge(encoder, "connections_waiting_for_memory", None, waiting, counts.waiting as u64)?;
    counter(encoder, "read_pauses", None, "How often reading has paused for lack of memory", counts.pauses)
}
