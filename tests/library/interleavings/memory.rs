//! The budget of requests in flight.

use loom::sync::Arc;
use loom::thread;

use super::budget::{Asker, Budget, Charge, Grant, Share};
use super::settings::Room;

const ROOM: Room = Room { free: 100, most: 200, reserve: 20, guests: 10 };

#[test]
fn when_all_is_spent_whole_requests_are_read_and_one_at_a_time_may_complete_its_request() {
    loom::model(|| {
        let budget = Budget::default();
        let grant = |connection, has_begun| {
            let asker = if has_begun { Asker::Begun { may_overdraw: true } } else { Asker::Fresh };
            budget.grant(ROOM, connection, asker)
        };
        assert_eq!(grant(1, false), Grant::All);
        budget.recharge(Charge::default(), Charge::user(100));
        assert_eq!(grant(1, false), Grant::Whole, "nobody begins");
        assert_eq!((grant(2, true), grant(2, true)), (Grant::All, Grant::All));
        assert_eq!(grant(3, true), Grant::Whole);
        assert!(!budget.end_overdraft(3));
        assert_eq!(grant(3, true), Grant::Whole, "it was not its own");
        assert!(budget.end_overdraft(2));
        assert_eq!(grant(3, true), Grant::All);
        budget.recharge(Charge::user(100), Charge::user(150));
        assert_eq!(grant(1, false), Grant::Whole, "what others hold does not take the reserve");
        assert!(!budget.is_exhausted(ROOM));
        let reserve = Charge { bytes: 20, share: Share::Reserve };
        budget.recharge(Charge::default(), reserve);
        assert_eq!((grant(1, false), grant(2, true)), (Grant::Nothing, Grant::Nothing));
        assert!(budget.is_exhausted(ROOM));
        budget.recharge(reserve, Charge::default());
        budget.recharge(Charge::user(150), Charge::user(200));
        assert!(budget.is_exhausted(ROOM), "no more that is not read may be kept");
        budget.recharge(Charge::user(200), Charge::user(99));
        assert_eq!(grant(1, false), Grant::All);
        assert_eq!(budget.spent(), 99);
    });
}

#[test]
fn guests_take_nothing_from_users_and_a_login_moves_the_charge() {
    loom::model(|| {
        let budget = Budget::default();
        let guest = Charge { bytes: 1000, share: Share::Guests };
        budget.recharge(Charge::default(), guest);
        assert_eq!(budget.grant(ROOM, 1, Asker::Guest), Grant::Whole);
        assert!(budget.has_no_overdraft());
        assert_eq!(budget.grant(ROOM, 2, Asker::Fresh), Grant::All);
        budget.recharge(guest, Charge::user(50));
        assert_eq!(budget.grant(ROOM, 1, Asker::Guest), Grant::All);
        assert_eq!(budget.spent(), 50);
    });
}

#[test]
fn a_pause_is_counted_once_and_ends_when_nobody_waits() {
    loom::model(|| {
        let budget = Budget::default();
        budget.wait(ROOM);
        budget.wait(ROOM);
        budget.stop_waiting();
        budget.end_pause();
        assert!(budget.is_paused());
        budget.stop_waiting();
        budget.wait(ROOM);
        assert_eq!((budget.waiting(), budget.pauses()), (1, 1), "it has not ended in between");
        budget.stop_waiting();
        budget.end_pause();
        assert!(!budget.is_paused());
    });
}

#[test]
fn one_connection_at_a_time_has_the_overdraft() {
    loom::model(|| {
        let budget = Arc::new(Budget::default());
        budget.recharge(Charge::default(), Charge::user(ROOM.free));
        let ask = |budget: &Budget, connection| {
            budget.grant(ROOM, connection, Asker::Begun { may_overdraw: true }) == Grant::All
        };
        let rival = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || ask(&budget, 2))
        };
        let mine = ask(&budget, 1);
        let theirs = rival.join().unwrap();
        assert!(mine != theirs, "exactly one has it");
        let (has, has_not) = if mine { (1, 2) } else { (2, 1) };
        assert!(!budget.end_overdraft(has_not) && budget.end_overdraft(has));
        assert!(budget.has_no_overdraft());
    });
}

#[test]
fn charges_that_move_between_shares_are_not_lost() {
    loom::model(|| {
        let budget = Arc::new(Budget::default());
        let login = |budget: &Budget| {
            let guest = Charge { bytes: 5, share: Share::Guests };
            budget.recharge(Charge::default(), guest);
            budget.recharge(guest, Charge::user(3));
            budget.recharge(Charge::user(3), Charge::default());
        };
        let other = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || login(&budget))
        };
        login(&budget);
        other.join().unwrap();
        assert_eq!(budget.spent(), 0);
    });
}

/// An earlier pause is about to end when another wait begins.
#[test]
fn whoever_waits_is_seen_to_wait() {
    loom::model(|| {
        let budget = Arc::new(Budget::default());
        budget.wait(ROOM);
        budget.stop_waiting();
        let upkeep = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || budget.end_pause())
        };
        budget.wait(ROOM);
        upkeep.join().unwrap();
        assert!(budget.is_paused());
        budget.end_pause();
        assert!(budget.is_paused(), "somebody waits still");
        budget.stop_waiting();
        budget.end_pause();
        assert!(!budget.is_paused());
    });
}
