//! The stored data, and the work of storing it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::{counter, gauge};
use crate::store::{Disk, Store};

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) store: Store,
}

impl Collector for Stored {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let stats = self.store.stats();
        // Absent rather than zero while the engine is not open: the data still exists.
        if let Some(contents) = stats.contents {
            let size = "How much disk space the store takes, journals included";
            gauge(encoder, "store_size", Some(&Unit::Bytes), size, contents.bytes)?;
            gauge(
                encoder,
                "store_keys_estimate",
                None,
                "Keys in all spaces, and as many more as were overwritten or deleted and not compacted away yet",
                contents.keys as u64,
            )?;
        }
        if let Some(Disk { size, available }) = stats.contents.and_then(|contents| contents.disk) {
            let help = "The size of the disk that the data directory is on";
            gauge(encoder, "store_disk_size", Some(&Unit::Bytes), help, size)?;
            let help = "How much of the disk that the data directory is on may still be used";
            gauge(encoder, "store_disk_available", Some(&Unit::Bytes), help, available)?;
        }
        gauge(encoder, "store_spaces", None, "Spaces", stats.spaces as u64)?;
        let commits = "Commits to disk, each for all writes that had queued up";
        counter(encoder, "store_commits", None, commits, stats.commits)?;
        let writes = "Changes of single keys that were committed";
        counter(encoder, "store_writes", None, writes, stats.writes)?;
        let failures = "Commits and syncs that failed";
        counter(encoder, "store_failures", None, failures, stats.failures)?;
        let trouble = stats.trouble.as_ref();
        let writable = "0 while writes are refused because the disk failed or is full";
        gauge(encoder, "store_writable", None, writable, u32::from(trouble.is_none()))?;
        let full = "1 while writes are refused because the disk is full";
        let disk_full = trouble.is_some_and(|trouble| trouble.disk_full);
        gauge(encoder, "store_disk_full", None, full, u32::from(disk_full))
    }
}
