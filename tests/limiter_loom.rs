//! The limiter's own code, run through every interleaving by loom.
//!
//! The library's limiter takes its atomics from its parent module; here the parent is this file,
//! and the atomics are loom's. Nothing of the limiter is written twice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../src/limiter/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of the limiter's surface")]
mod limiter;

mod sync {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

use std::num::NonZeroU32;

use limiter::{Limiter, Refusal, Snapshot};
use loom::thread;

fn limiter(limit: u32) -> Limiter {
    Limiter::new(NonZeroU32::new(limit).unwrap(), NonZeroU32::new(10).unwrap()).unwrap()
}

/// What every instant must satisfy.
fn check(limiter: &Limiter) {
    let Snapshot { limit, active } = limiter.snapshot();
    assert!(active <= limit, "{active} active with a limit of {limit}");
}

#[test]
fn two_clients_never_share_the_last_place() {
    loom::model(|| {
        let limiter = limiter(1);
        let other = limiter.clone();
        let rival = thread::spawn(move || other.try_acquire().ok());
        let mine = limiter.try_acquire().ok();
        let theirs = rival.join().unwrap();
        assert!(mine.is_some() != theirs.is_some(), "exactly one gets the only place");
        drop((mine, theirs));
        assert_eq!(limiter.snapshot(), Snapshot { limit: 1, active: 0 });
        assert_eq!(limiter.totals().accepted + limiter.totals().rejected, 2);
        assert_eq!(limiter.totals().peak, 1);
    });
}

#[test]
fn a_shrinking_limit_and_an_arrival_never_overlap() {
    loom::model(|| {
        let limiter = limiter(2);
        let held = limiter.try_acquire().unwrap();
        let other = limiter.clone();
        let arrival = thread::spawn(move || {
            let permit = other.try_acquire();
            check(&other);
            permit.ok()
        });
        let shrunk = limiter.set(1);
        check(&limiter);
        let late = arrival.join().unwrap();
        match shrunk {
            Ok(applied) => {
                assert_eq!(applied.new, 1);
                assert!(late.is_none(), "the place was gone before the arrival");
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::BelowActive { wanted: 1, active: 2 });
                assert!(late.is_some());
                assert_eq!(limiter.snapshot().limit, 2, "a refusal changes nothing");
            }
        }
        drop((held, late));
        assert_eq!(limiter.snapshot().active, 0);
    });
}

#[test]
fn concurrent_increases_and_decreases_all_count() {
    loom::model(|| {
        let limiter = limiter(5);
        let (up, down) = (limiter.clone(), limiter.clone());
        let up = thread::spawn(move || up.increase(2).unwrap());
        let down = thread::spawn(move || down.decrease(1).unwrap());
        limiter.increase(1).unwrap();
        up.join().unwrap();
        down.join().unwrap();
        assert_eq!(limiter.snapshot(), Snapshot { limit: 7, active: 0 });
    });
}

#[test]
fn a_release_during_a_change_is_not_lost() {
    loom::model(|| {
        let limiter = limiter(2);
        let first = limiter.try_acquire().unwrap();
        let second = limiter.try_acquire().unwrap();
        let releaser = thread::spawn(move || drop(first));
        let changer = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.increase(1).unwrap())
        };
        let arrival = limiter.try_acquire().ok();
        check(&limiter);
        releaser.join().unwrap();
        changer.join().unwrap();
        let expected = 1 + u32::from(arrival.is_some());
        assert_eq!(limiter.snapshot(), Snapshot { limit: 3, active: expected });
        drop((second, arrival));
        assert_eq!(limiter.snapshot().active, 0);
    });
}
