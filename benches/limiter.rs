//! The cost of a call to the limiter, on this machine.
//!
//! `cargo bench --bench limiter`. Beside it, alternatives that could have counted connections: tokio's semaphore, a
//! counter behind a mutex, and, as the lower bound, a bare pair of atomic additions that checks nothing.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use criterion::Criterion;
use shibudb::limiter::Limiter;
use tokio::sync::Semaphore;

const LIMIT: u32 = 1000;
const THREADS: usize = 2;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for threads in [1, THREADS] {
        pairs(&mut criterion, threads);
    }
    others(&mut criterion);
    criterion.final_summary();
}

/// Takes a place and frees it again; each of the threads does so as often as it can.
fn pairs(criterion: &mut Criterion, threads: usize) {
    let name = if threads == 1 { "acquire and release" } else { "acquire and release, two threads" };
    let mut group = criterion.benchmark_group(name);

    let limiter = limiter();
    group.bench_function("limiter", |bencher| {
        bencher.iter_custom(|pairs| together(threads, pairs, || drop(limiter.try_acquire().unwrap())));
    });
    // The permit of a connection cannot borrow, since it moves into the connection.
    let semaphore = Arc::new(Semaphore::new(LIMIT as usize));
    group.bench_function("tokio semaphore", |bencher| {
        let acquire = || drop(Arc::clone(&semaphore).try_acquire_owned().unwrap());
        bencher.iter_custom(|pairs| together(threads, pairs, acquire));
    });
    group.bench_function("tokio semaphore, borrowed", |bencher| {
        bencher.iter_custom(|pairs| together(threads, pairs, || drop(semaphore.try_acquire().unwrap())));
    });
    let counter = Mutex::new(0);
    group.bench_function("mutex", |bencher| {
        bencher.iter_custom(|pairs| together(threads, pairs, || guarded_pair(&counter)));
    });
    let bare = AtomicU64::new(0);
    group.bench_function("bare atomic", |bencher| {
        bencher.iter_custom(|pairs| {
            together(threads, pairs, || {
                bare.fetch_add(1, Ordering::AcqRel);
                bare.fetch_sub(1, Ordering::AcqRel);
            })
        });
    });
    group.finish();
}

/// The limiter's other calls.
fn others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limiter");
    let limiter = limiter();
    let _held = limiter.try_acquire().unwrap();
    let mut limit = u64::from(LIMIT);
    group.bench_function("set", |bencher| {
        bencher.iter(|| {
            limit ^= 1;
            limiter.set(limit).unwrap()
        });
    });
    group.bench_function("snapshot", |bencher| bencher.iter(|| limiter.snapshot()));
    let full = Limiter::new(NonZeroU32::MIN, NonZeroU32::MIN).unwrap();
    let _last = full.try_acquire().unwrap();
    group.bench_function("refusal", |bencher| bencher.iter(|| full.try_acquire().unwrap_err()));
    group.finish();
}

fn limiter() -> Limiter {
    let limit = NonZeroU32::new(LIMIT).unwrap();
    Limiter::new(limit, limit.saturating_add(LIMIT)).unwrap()
}

fn guarded_pair(counter: &Mutex<u32>) {
    let mut active = counter.lock().unwrap();
    assert!(*active < LIMIT);
    *active += 1;
    drop(active);
    *counter.lock().unwrap() -= 1;
}

/// The time that the slowest of `threads` needs for `times`, all beginning at once.
fn together(threads: usize, times: u64, work: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads);
    let one = || {
        start.wait();
        let begin = Instant::now();
        for _ in 0..times {
            work();
        }
        begin.elapsed()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let own = one();
        others.into_iter().map(|other| other.join().unwrap()).fold(own, Duration::max)
    })
}
