//! What the limiter promises, one thread at a time. `limiter_loom.rs` covers the interleavings.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU32;

use proptest::prelude::*;
use shibudb::limiter::{Applied, Full, Limiter, Refusal, Snapshot, Totals};

fn limiter(limit: u32, ceiling: u32) -> Limiter {
    Limiter::new(NonZeroU32::new(limit).unwrap(), NonZeroU32::new(ceiling).unwrap()).unwrap()
}

#[test]
fn admits_up_to_the_limit_and_not_one_more() {
    let limiter = limiter(2, 10);
    let _first = limiter.try_acquire().unwrap();
    let _second = limiter.try_acquire().unwrap();
    assert_eq!(limiter.try_acquire().unwrap_err(), Full { limit: 2 });
    assert_eq!(limiter.totals(), Totals { accepted: 2, rejected: 1, peak: 2 });
}

#[test]
fn dropping_a_permit_frees_its_place() {
    let limiter = limiter(1, 1);
    drop(limiter.try_acquire().unwrap());
    assert_eq!(limiter.snapshot(), Snapshot { limit: 1, active: 0 });
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn a_clone_shares_limit_and_count() {
    let limiter = limiter(1, 2);
    let clone = limiter.clone();
    let _permit = limiter.try_acquire().unwrap();
    assert!(clone.try_acquire().is_err());
    clone.increase(1).unwrap();
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn a_limit_above_the_ceiling_cannot_be_made() {
    let refusal = Limiter::new(NonZeroU32::new(3).unwrap(), NonZeroU32::new(2).unwrap()).unwrap_err();
    assert_eq!(refusal, Refusal::AboveCeiling { wanted: 3, ceiling: 2 });
}

#[test]
fn refusals_change_nothing_and_speak_the_documented_words() {
    let limiter = limiter(1000, 19_900);
    let held: Vec<_> = (0..750).map(|_| limiter.try_acquire().unwrap()).collect();
    let before = limiter.snapshot();
    for (refused, words) in [
        (limiter.set(0), "connection limit must be positive"),
        (limiter.decrease(1000), "connection limit must be positive"),
        (limiter.decrease(u64::MAX), "connection limit must be positive"),
        (limiter.set(500), "cannot set limit to 500 when 750 connections are active"),
        (limiter.decrease(251), "cannot set limit to 749 when 750 connections are active"),
        (limiter.set(50_000), "cannot set limit to 50000: this process can hold at most 19900 connections"),
        (
            limiter.increase(u64::MAX),
            "cannot set limit to 18446744073709551615: this process can hold at most 19900 connections",
        ),
    ] {
        assert_eq!(refused.unwrap_err().to_string(), words);
        assert_eq!(limiter.snapshot(), before);
    }
    assert_eq!(limiter.set(750), Ok(Applied { old: 1000, new: 750, active: 750 }));
    drop(held);
}

#[test]
fn the_extremes_fit_the_word() {
    let limiter = limiter(u32::MAX, u32::MAX);
    let _permit = limiter.try_acquire().unwrap();
    assert_eq!(limiter.snapshot(), Snapshot { limit: u32::MAX, active: 1 });
    assert_eq!(limiter.set(1), Ok(Applied { old: u32::MAX, new: 1, active: 1 }));
    assert_eq!(
        limiter.set(u64::from(u32::MAX) + 1).unwrap_err().to_string(),
        "cannot set limit to 4294967296: this process can hold at most 4294967295 connections"
    );
}

#[test]
fn a_snapshot_does_its_sums() {
    let snapshot = Snapshot { limit: 1000, active: 45 };
    assert_eq!(snapshot.available(), 955);
    assert!((snapshot.usage_percentage() - 4.5).abs() < f64::EPSILON);
}

/// One step of a random program.
#[derive(Debug, Clone)]
enum Step {
    Acquire,
    Release(prop::sample::Index),
    Set(u64),
    Increase(u64),
    Decrease(u64),
}

/// Numbers near the interesting edges, and anything.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..20u64,
        1 => Just(u64::from(u32::MAX)),
        1 => Just(u64::from(u32::MAX) + 1),
        1 => Just(u64::MAX),
        1 => any::<u64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Acquire),
        3 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => number().prop_map(Step::Set),
        1 => number().prop_map(Step::Increase),
        1 => number().prop_map(Step::Decrease),
    ]
}

/// The trivially correct limiter: one thread, wide integers, no tricks.
struct Model {
    limit: i128,
    active: i128,
    ceiling: i128,
    totals: Totals,
}

impl Model {
    fn acquire(&mut self) -> bool {
        let admitted = self.active < self.limit;
        if admitted {
            self.active += 1;
            self.totals.accepted += 1;
            self.totals.peak = self.totals.peak.max(u32::try_from(self.active).unwrap());
        } else {
            self.totals.rejected += 1;
        }
        admitted
    }

    /// Whether the change was applied.
    fn change(&mut self, wanted: i128) -> bool {
        let allowed = wanted >= 1 && wanted >= self.active && wanted <= self.ceiling;
        if allowed {
            self.limit = wanted;
        }
        allowed
    }
}

proptest! {
    #[test]
    fn any_program_behaves_as_the_model(
        limit in 1..12u32,
        room in 0..12u32,
        huge in any::<bool>(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let ceiling = if huge { u32::MAX } else { limit + room };
        let limiter = limiter(limit, ceiling);
        let mut model = Model {
            limit: limit.into(), active: 0, ceiling: ceiling.into(), totals: Totals::default(),
        };
        let mut permits = Vec::new();
        for step in steps {
            match step {
                Step::Acquire => {
                    let permit = limiter.try_acquire().ok();
                    prop_assert_eq!(permit.is_some(), model.acquire());
                    permits.extend(permit);
                }
                Step::Release(which) if !permits.is_empty() => {
                    drop(permits.swap_remove(which.index(permits.len())));
                    model.active -= 1;
                }
                Step::Release(_) => {}
                Step::Set(n) => prop_assert_eq!(limiter.set(n).is_ok(), model.change(n.into())),
                Step::Increase(n) => {
                    let wanted = model.limit + i128::from(n);
                    prop_assert_eq!(limiter.increase(n).is_ok(), model.change(wanted));
                }
                Step::Decrease(n) => {
                    let wanted = model.limit - i128::from(n);
                    prop_assert_eq!(limiter.decrease(n).is_ok(), model.change(wanted));
                }
            }
            let Snapshot { limit, active } = limiter.snapshot();
            prop_assert_eq!((i128::from(limit), i128::from(active)), (model.limit, model.active));
            prop_assert_eq!(limiter.totals(), model.totals);
        }
    }
}
