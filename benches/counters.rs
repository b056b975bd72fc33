//! The cost of counting: `cargo bench --bench counters`.
//!
//! A single request pays for the clock and for one slot; requests that arrive together share the clock. For comparison
//! there is a bare increment that all workers share, as it would be without a block for each.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shibudb::protocol::RequestKind;
use shibudb::server::{Answered, RequestCounters, RequestOutcome};

const TOOK: Duration = Duration::from_micros(17);

fn answered(requests: usize) -> Vec<Answered> {
    let kinds = [RequestKind::Get, RequestKind::Put];
    let of = |number: usize| Answered { kind: kinds[number % 2], outcome: RequestOutcome::Ok };
    (0..requests).map(of).collect()
}

fn clock(criterion: &mut Criterion) {
    let since = Instant::now();
    criterion.bench_function("clock", |bencher| bencher.iter(|| black_box(since).elapsed()));
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("requests");
    for together in [1, 16, 256] {
        let answered = answered(together);
        group.throughput(Throughput::Elements(together as u64));
        group.bench_with_input(BenchmarkId::new("counted", together), &answered, |bencher, answered| {
            let counters = RequestCounters::default();
            let mut recorder = counters.recorder();
            bencher.iter(|| recorder.requests(black_box(answered), black_box(TOOK)));
        });
        group.bench_with_input(BenchmarkId::new("timed", together), &answered, |bencher, answered| {
            let counters = RequestCounters::default();
            let mut recorder = counters.recorder();
            let since = Instant::now();
            bencher.iter(|| recorder.requests(black_box(answered), black_box(since).elapsed()));
        });
    }
    group.finish();
}

/// One more thread counts all the time.
fn beside_another(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("beside another thread");
    let (counters, shared, over) = (RequestCounters::default(), AtomicU64::new(0), AtomicBool::new(false));
    let one = answered(1);
    thread::scope(|scope| {
        let mut other = counters.recorder();
        let (over, shared, one) = (&over, &shared, &one);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                other.requests(one, TOOK);
                shared.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut recorder = counters.recorder();
        group.bench_function("own block", |bencher| {
            bencher.iter(|| recorder.requests(black_box(one), black_box(TOOK)));
        });
        group.bench_function("shared number", |bencher| {
            bencher.iter(|| shared.fetch_add(black_box(1), Ordering::Relaxed));
        });
        over.store(true, Ordering::Relaxed);
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let counters = RequestCounters::default();
    let recorders: Vec<_> = (0..16).map(|_| counters.recorder()).collect();
    criterion.bench_function("read 16 workers", |bencher| bencher.iter(|| counters.read()));
    drop(recorders);
}

criterion_group!(benches, clock, requests, beside_another, read);
criterion_main!(benches);
