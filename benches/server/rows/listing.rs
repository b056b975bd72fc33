//! The cost for connecting clients when an operator lists the connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use crate::burst::{self, BAD_LINE, Size};
use crate::contender::{Contender, Shibudb};
use crate::crowd;
use crate::figures::{Figures, LISTED, LISTED_WORST, latencies, micros, record};
use crate::http::Http;
use crate::language::Language;
use crate::rounds::{Lane, Measured, SHIBUDB, Scale, interleave};

/// The same without listing.
pub(crate) const UNSEEN: &str = "nobody looks";

const HELD: usize = 10_000;

const CONNECTIONS: u64 = 100_000;

/// How often the connections are listed: as often as `manager watch` does.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn measure(scale: &Scale) -> Result<Measured> {
    let shibudb = Shibudb { limit: HELD + 1000, ..Shibudb::default() }.start()?;
    // Logged in, so that all of them are certainly there.
    let held = crowd::hold(shibudb.address(), HELD, Language::Shibudb.greeting())?;
    let lanes = vec![
        Lane::new(SHIBUDB, || {
            crowd::still_held(&held)?;
            let (figures, listed) = while_listed(&shibudb, || connect(scale, &shibudb))?;
            let quantile = |q| micros(Duration::from_nanos(listed.value_at_quantile(q)));
            Ok(figures
                .with(LISTED, quantile(0.5))
                .with(LISTED_WORST, micros(Duration::from_nanos(listed.max()))))
        }),
        Lane::new(UNSEEN, || connect(scale, &shibudb)),
    ];
    interleave(scale, lanes)
}

/// Clients that connect, get an error for their line, and are closed.
fn connect(scale: &Scale, server: &Contender) -> Result<Figures> {
    let size = Size { at_a_time: 64, total: scale.count(CONNECTIONS), at_most: scale.seconds(5.0) };
    let (outcome, figures) = burst::measure(server.address(), server.pid(), BAD_LINE, size)?;
    outcome.all_answered()?;
    Ok(figures)
}

/// Runs `work` while all connections are listed again and again; returns how long that took each time.
fn while_listed<T>(server: &Contender, work: impl FnOnce() -> Result<T>) -> Result<(T, Histogram<u64>)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| -> Result<Histogram<u64>> {
            let mut http = Http::open(server.management())?;
            let mut listed = latencies();
            while !stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let answer = http.get("/connections?limit=100000")?;
                record(&mut listed, begin.elapsed());
                let connections = answer.matches("\"peer\":").count();
                ensure!(connections >= HELD, "only {connections} connections were listed");
                std::thread::park_timeout(EVERY.saturating_sub(begin.elapsed()));
            }
            Ok(listed)
        });
        let worked = work();
        stop.store(true, Ordering::Relaxed);
        listing.thread().unpark();
        let listed = listing.join().ok().context("the thread that lists panicked")??;
        Ok((worked?, listed))
    })
}
