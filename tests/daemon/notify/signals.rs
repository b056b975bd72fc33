//! Signals while the limit cannot be changed yet, since the disk hangs while storing the last change.

use super::threads::Stopped;
use crate::harness::{Setup, Signal, wait_until};

/// The log message for each received signal.
const RAISE: &str = "has sent a signal: Raise";

/// More signals of one kind than are queued for the server.
const MANY: usize = 20;

#[test]
fn many_that_arrive_while_the_first_still_waits_are_all_applied() {
    let server = Setup::new().config("[log]\nlevel = \"debug\"\n").start();
    let control = Stopped::stop(&server, "control");
    for sent in 1..=MANY {
        server.signal(Signal::USR1);
        // The kernel merges two pending signals.
        wait_until("it is taken in", || server.log().matches(RAISE).count() == sent);
    }
    assert_eq!(server.limit(), 1000);
    control.go_on();
    server.wait_until_limit(1000 + 100 * MANY as u64);
}

#[test]
fn one_to_stop_does_not_wait_for_those_before_it() {
    let mut server = Setup::new().config("[log]\nlevel = \"debug\"\n").start();
    let control = Stopped::stop(&server, "control");
    server.signal(Signal::USR1);
    server.wait_for_log(RAISE);
    server.signal(Signal::TERM);
    server.wait_for_log("stopping, as asked by pid ");
    control.go_on();
    assert!(server.wait().success());
    server.wait_for_log("connection limit changed from 1000 to 1100");
}
