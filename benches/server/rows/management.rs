//! The management API, on an idle server and under load.
//!
//! The latency of one request on an idle machine depends on how fast it wakes up, and the latency of a synced change on
//! its disk: beside each is the machine's own time for that alone.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::bare;
use crate::burst::{self, BAD_LINE, Size};
use crate::contender::{Contender, Shibudb, home, start_bare};
use crate::crowd::{self, Conversation};
use crate::figures::{BUSY_P50, BUSY_P99, Figures, P50, P99, SEEN, latencies, micros, record};
use crate::http::Http;
use crate::language::Greeting;
use crate::rounds::{Lane, Measured, SHIBUDB, Scale, TOKIO, interleave};

const REQUESTS: u64 = 5000;

const IDLE: usize = 5000;

/// New connections a second.
const NEW: f64 = 2000.0;

/// The length of a slice of them.
const SLICE: Duration = Duration::from_millis(10);

const LIMIT: usize = 15_000;

/// The time to store a change and its record durably, without a server.
pub(crate) const DISK: &str = "the disk alone";

pub(super) fn stats(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb { limit: LIMIT, ..Shibudb::default() }.start()?;
    let measure = || {
        let quiet = ask(&shibudb, scale.count(REQUESTS))?;
        let held = crowd::hold(shibudb.address(), IDLE, Greeting::SILENCE)?;
        let busy = while_new_ones_come(&shibudb, || ask(&shibudb, scale.count(REQUESTS)))?;
        crowd::still_held(&held)?;
        let quantile =
            |latency: &Histogram<u64>, q| micros(Duration::from_nanos(latency.value_at_quantile(q)));
        Ok(Figures::default()
            .with(P50, quantile(&quiet, 0.5))
            .with(P99, quantile(&quiet, 0.99))
            .with(BUSY_P50, quantile(&busy, 0.5))
            .with(BUSY_P99, quantile(&busy, 0.99)))
    };
    let bare = start_bare(bare::Kind::Reply)?;
    let there_and_back = || {
        let mut conversation = Conversation::with_stranger(bare.address())?;
        Ok(Figures::default().with_latency(&timed(scale.count(REQUESTS), || conversation.ask("x\n"))?))
    };
    interleave(scale, vec![Lane::new(SHIBUDB, measure), Lane::new(TOKIO, there_and_back)])
}

pub(super) fn set_limit(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb { limit: LIMIT, ..Shibudb::default() }.start()?;
    let mut http = Http::open(shibudb.management())?;
    let measure = || {
        let (mut answered, mut seen) = (latencies(), latencies());
        for number in 0..scale.count(REQUESTS / 5) as usize {
            let limit = LIMIT + number % 2;
            let begin = Instant::now();
            http.set_limit(limit)?;
            record(&mut answered, begin.elapsed());
            let now = http.get("/limit")?;
            record(&mut seen, begin.elapsed());
            ensure!(now.contains(&format!("\"current_limit\":{limit}")), "answered, but not in force: {now}");
            std::thread::sleep(Duration::from_millis(1));
        }
        let figures = Figures::default().with_latency(&answered);
        Ok(figures.with(SEEN, micros(Duration::from_nanos(seen.value_at_quantile(0.5)))))
    };
    let place = home()?;
    let mut history = File::options().append(true).create(true).open(place.path().join("history"))?;
    let disk = || {
        let mut latency = latencies();
        for _ in 0..scale.count(REQUESTS / 5) {
            let begin = Instant::now();
            replace_synced(place.path())?;
            history.write_all(&[b'x'; 160])?;
            history.sync_data()?;
            record(&mut latency, begin.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Figures::default().with_latency(&latency))
    };
    interleave(scale, vec![Lane::new(SHIBUDB, measure), Lane::new(DISK, disk)])
}

fn ask(server: &Contender, requests: u64) -> Result<Histogram<u64>> {
    let mut http = Http::open(server.management())?;
    timed(requests, || http.get("/stats").map(drop))
}

/// The latencies of `request`, called repeatedly.
fn timed<T>(requests: u64, mut request: impl FnMut() -> Result<T>) -> Result<Histogram<u64>> {
    let mut latency = latencies();
    for _ in 0..requests {
        let begin = Instant::now();
        request()?;
        record(&mut latency, begin.elapsed());
    }
    Ok(latency)
}

/// The minimum that replaces a file atomically, even across a power failure.
fn replace_synced(directory: &Path) -> Result<()> {
    let (spare, file) = (directory.join("spare"), directory.join("file"));
    let mut written = File::options().write(true).create(true).truncate(false).open(&spare)?;
    written.write_all(&[b'x'; 1024])?;
    written.sync_data()?;
    // The first time there is no file to exchange.
    if renameat_with(CWD, &spare, CWD, &file, RenameFlags::EXCHANGE).is_err() {
        fs::rename(&spare, &file)?;
    }
    Ok(File::open(directory)?.sync_all()?)
}

/// Runs `work` while clients connect, get an error for their line, and are closed.
fn while_new_ones_come<T>(server: &Contender, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let new = scope.spawn(|| -> Result<f64> {
            let begin = Instant::now();
            while !stop.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(120) {
                let due = (begin.elapsed().as_secs_f64() * NEW) as u64;
                let total = due.saturating_sub(done.load(Ordering::Relaxed)).min(100);
                let size = Size { at_a_time: 8, total, at_most: Duration::from_secs(1) };
                let outcome = burst::run(server.address(), BAD_LINE, size)?;
                outcome.all_answered()?;
                done.fetch_add(outcome.done, Ordering::Relaxed);
                std::thread::sleep(SLICE);
            }
            Ok(done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64())
        });
        let begin = Instant::now();
        let worked = work();
        // Long enough to count the arrivals.
        std::thread::sleep(Duration::from_millis(200).saturating_sub(begin.elapsed()));
        stop.store(true, Ordering::Relaxed);
        let rate = new.join().ok().context("the thread of the new connections panicked")??;
        ensure!(rate > NEW * 0.7, "only {rate:.0} new connections a second, {NEW} were wanted");
        worked
    })
}
