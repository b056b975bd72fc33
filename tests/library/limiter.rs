//! The guarantees of the limiter on a single thread. `interleavings/permits.rs` covers the interleavings.

use std::net::IpAddr;
use std::num::NonZeroU32;

use proptest::prelude::*;
use shibudb::limiter::{
    Admission, Applied, Full, Limiter, Name, NamedLimit, NamedLimits, NoPlace, Refusal, Snapshot, Totals,
    admit,
};

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

fn lasting(name: Name, limit: u32) -> NamedLimit {
    let limiter = Limiter::new(NonZeroU32::new(limit).unwrap(), NonZeroU32::MAX).unwrap();
    NamedLimit::lasting(name, limiter)
}

fn gateway(name: &str, limit: u32) -> NamedLimit {
    lasting(Name::Gateway(name.into()), limit)
}

fn active(limits: &[&NamedLimit]) -> Vec<u32> {
    limits.iter().map(|limit| limit.limiter().snapshot().active).collect()
}

#[test]
fn an_admission_is_as_small_as_a_permit() {
    assert_eq!(size_of::<Option<Admission>>(), size_of::<usize>());
}

#[test]
fn all_places_are_taken_and_freed_together() {
    let limits = [&lasting(Name::Main, 3), &gateway("a", 2), &gateway("b", 1)];
    let admission = admit(&limits).unwrap();
    assert_eq!((admission.places(), active(&limits)), (3, vec![1, 1, 1]));
    drop(admission);
    assert_eq!(active(&limits), [0, 0, 0]);
}

#[test]
fn without_a_place_under_one_limit_none_is_taken_and_that_one_is_named() {
    let limits = [&lasting(Name::Main, 3), &gateway("a", 1), &gateway("b", 2)];
    let held = admit(&limits).unwrap();
    let refused = admit(&limits).unwrap_err();
    assert_eq!(refused, NoPlace { name: Name::Gateway("a".into()), limit: 1 });
    assert_eq!(refused.to_string(), "all 1 connections of gateway:a are in use");
    assert_eq!(active(&limits), [1, 1, 1]);
    let Totals { accepted, rejected, .. } = limits[0].limiter().totals();
    assert_eq!((accepted, rejected), (1, 0), "a place that was given back admitted nobody");
    // A raised limit admits at once, and the refusal names the next limit.
    limits[1].limiter().set(9).unwrap();
    let second = admit(&limits).unwrap();
    assert_eq!(admit(&limits).unwrap_err().name, Name::Gateway("b".into()));
    assert_eq!(active(&limits), [2, 2, 2]);
    drop((held, second));
    assert_eq!(active(&limits), [0, 0, 0]);
}

#[test]
fn one_limit_alone_needs_nothing_else() {
    let limit = lasting(Name::Main, 1);
    let admission = admit(&[&limit]).unwrap();
    assert_eq!((admission.places(), limit.limiter().snapshot().active), (1, 1));
    assert_eq!(admit(&[&limit]).unwrap_err(), NoPlace { name: Name::Main, limit: 1 });
}

#[test]
fn an_admission_keeps_the_limits_that_it_has_places_under() {
    let limits = NamedLimits::default();
    let name = Name::User("shop".into());
    let one = NonZeroU32::MIN;
    let admission = admit(&[&lasting(Name::Main, 5), &limits.of(&name, one)]).unwrap();
    assert_eq!(limits.len(), 1);
    assert_eq!(admit(&[&limits.of(&name, one)]).unwrap_err(), NoPlace { name: name.clone(), limit: 1 });
    drop(admission);
    assert_eq!(limits.len(), 0);
    let alone = admit(&[&limits.of(&name, one)]).unwrap();
    assert_eq!((limits.len(), alone.places()), (1, 1));
    drop(alone);
    assert_eq!(limits.len(), 0);
}

fn address(number: u32) -> Name {
    Name::Address(IpAddr::V4(number.into()))
}

#[test]
fn a_name_means_one_limit_as_long_as_somebody_uses_it() {
    let limits = NamedLimits::default();
    let [two, three] = [2, 3].map(|limit| NonZeroU32::new(limit).unwrap());
    let first = limits.of(&address(1), two);
    let admission = admit(&[&first]).unwrap();
    drop(first);
    let again = limits.of(&address(1), three);
    let snapshot = again.limiter().snapshot();
    assert_eq!((snapshot.limit, snapshot.active), (2, 1), "it is the one that is in use");
    drop((admission, again));
    assert_eq!(limits.of(&address(1), three).limiter().snapshot().limit, 3, "it was made anew");
}

#[test]
fn nothing_stays_of_many_addresses() {
    let limits = NamedLimits::default();
    let held: Vec<_> =
        (0..100_000).map(|number| admit(&[&limits.of(&address(number), NonZeroU32::MIN)]).unwrap()).collect();
    assert_eq!((limits.len(), limits.all().len()), (100_000, 100_000));
    drop(held);
    assert!(limits.is_empty());
}

#[test]
fn connections_that_come_and_go_at_once_never_exceed_the_limit_of_their_address() {
    let limits = NamedLimits::default();
    let most = NonZeroU32::new(2).unwrap();
    let admitted = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let Ok(admission) = admit(&[&limits.of(&address(1), most)]) else { continue };
                    let now = admitted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                    assert!(now <= most.get(), "{now} at once");
                    admitted.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(admission);
                }
            });
        }
    });
    assert!(limits.is_empty());
}
