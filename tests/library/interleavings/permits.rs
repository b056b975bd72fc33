//! The limiter: no place is shared or lost, whatever acquires, releases and changes of the limit run concurrently.

use std::num::NonZeroU32;

use loom::thread;

use super::limiter::{Limiter, Name, NamedLimit, Refusal, Snapshot, admit};

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

#[test]
fn of_two_that_need_places_under_two_limits_no_limit_is_exceeded_and_nothing_stays() {
    loom::model(|| {
        let main = NamedLimit::lasting(Name::Main, limiter(2));
        let other = NamedLimit::lasting(Name::Gateway("other".into()), limiter(1));
        let both = [main.clone(), other.clone()];
        let rival = thread::spawn(move || {
            let [main, other] = &both;
            let admission = admit(&[other, main]);
            check(other.limiter());
            admission.ok()
        });
        let mine = admit(&[&main, &other]).ok();
        check(main.limiter());
        check(other.limiter());
        let theirs = rival.join().unwrap();
        let admitted = u32::from(mine.is_some()) + u32::from(theirs.is_some());
        assert_eq!(admitted, 1, "exactly one gets the only place");
        for limit in [&main, &other] {
            assert_eq!(limit.limiter().snapshot().active, 1, "{}", limit.name());
            assert_eq!(limit.limiter().totals().accepted, 1, "{}", limit.name());
        }
        drop((mine, theirs));
        for limit in [&main, &other] {
            assert_eq!(limit.limiter().snapshot().active, 0, "{}", limit.name());
        }
    });
}

#[test]
fn a_decision_is_in_force_only_if_nothing_has_changed_since() {
    loom::model(|| {
        let limiter = limiter(2);
        let seen = limiter.snapshot();
        let other = limiter.clone();
        let arrival = thread::spawn(move || other.try_acquire().ok());
        let exchanged = limiter.exchange(seen, NonZeroU32::MIN);
        let late = arrival.join().unwrap();
        check(&limiter);
        match exchanged {
            Ok(applied) => assert_eq!((applied.old, applied.new, applied.active), (2, 1, 0)),
            Err(now) => assert_eq!(now, Snapshot { limit: 2, active: 1 }),
        }
        drop(late);
    });
}
