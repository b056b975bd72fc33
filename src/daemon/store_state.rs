//! The state of the store: checked once a second, and shown in all reports.
//!
//! Neither the number of clients nor their reads reveal a full disk. So the status line, `GET /health`, `GET /config`
//! and the page report it explicitly.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::management::wire::{StoreReport, StoreState};
use crate::store::{Store, Trouble};

/// How long one call to the disk may take before it counts as not answering.
const SILENT_DISK: Duration = Duration::from_secs(5);

/// Checks the store and publishes the result.
#[derive(Debug)]
pub(super) struct StoreWatch {
    store: Store,
    /// Since when the disk has not answered, if that was logged.
    silent_since: Option<Timestamp>,
    report: watch::Sender<StoreReport>,
}

impl StoreWatch {
    pub(super) fn new(store: Store) -> Self {
        Self { store, silent_since: None, report: watch::Sender::default() }
    }

    /// The last result, and a notification of every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<StoreReport> {
        self.report.subscribe()
    }

    /// Checks the store. Returns the text for the status line if there is a problem. Logs when the disk stops
    /// answering and when it answers again; the store logs its own errors.
    pub(super) fn look(&mut self) -> Option<String> {
        let trouble = self.store.stats().trouble;
        let silent = self.silence();
        let (report, words) = match (trouble, silent) {
            (Some(trouble), _) => of_trouble(&trouble),
            (None, Some((since, seconds))) => of_silence(since, seconds),
            (None, None) => (StoreReport::default(), None),
        };
        self.report.send_if_modified(|shown| {
            let is_news = *shown != report;
            *shown = report;
            is_news
        });
        words
    }

    /// Since when the disk has not answered, and for how many seconds.
    fn silence(&mut self) -> Option<(Timestamp, u64)> {
        let waits = self.store.waits_for_disk().filter(|waits| *waits >= SILENT_DISK);
        let Some(waits) = waits else {
            if self.silent_since.take().is_some() {
                tracing::info!("the data disk responds again");
            }
            return None;
        };
        let seconds = waits.as_secs();
        let since = *self.silent_since.get_or_insert_with(|| {
            tracing::error!(
                seconds,
                "the data disk has not responded for {seconds} s: writes wait for it; reads from memory, logins and \
                 management continue"
            );
            let now = Timestamp::now();
            now.checked_sub(waits).unwrap_or(now)
        });
        Some((since, seconds))
    }
}

fn of_trouble(trouble: &Trouble) -> (StoreReport, Option<String>) {
    let state = if trouble.disk_full { StoreState::DiskFull } else { StoreState::Failed };
    let report = StoreReport { state, problem: Some(trouble.to_string()), since: Some(trouble.since) };
    (report, Some(format!("{}; writes are refused", trouble.reason)))
}

fn of_silence(since: Timestamp, seconds: u64) -> (StoreReport, Option<String>) {
    let problem = "the data disk does not respond: writes wait for it; reads from memory, logins and management \
        continue";
    let report =
        StoreReport { state: StoreState::DiskSilent, problem: Some(problem.into()), since: Some(since) };
    (report, Some(format!("the data disk has not responded for {seconds} s")))
}
