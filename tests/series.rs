//! `GET /series` of a real server: it samples itself, once a second.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use harness::{Setup, Signal, wait_until};
use shibudb::management::wire::Series;

#[test]
fn a_running_server_remembers_what_was_a_second_ago() {
    let server = Setup::new().limit(3).start();
    let series = || serde_json::from_str::<Series>(&server.get("/series").body).unwrap();
    wait_until("there is a first sample", || !series().time.is_empty());
    let first = series();
    assert_eq!((first.active[0], first.limit[0], first.accepted[0], first.rejected[0]), (0, 3, 0, 0));

    let held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.wait_until_active(3);
    assert!(server.connect().line().unwrap().contains("Server at maximum capacity"));
    server.signal(Signal::USR1);
    server.wait_until_limit(103);
    let last = |series: &Series| {
        let last = series.time.len() - 1;
        (series.active[last], series.limit[last], series.accepted[last], series.rejected[last])
    };
    wait_until("all of it is in the newest sample", || last(&series()) == (3, 103, 3, 1));
    let metrics = server.get("/metrics").body;
    for line in ["shibudb_connections_accepted_total 3\n", "shibudb_connections_rejected_total 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }

    drop(held);
    wait_until("their end is, too", || last(&series()) == (0, 103, 3, 1));
    let series = series();
    assert!(series.time.is_sorted_by(|one, next| one < next), "{:?}", series.time);
    assert!(series.active.contains(&3), "what was is still there: {:?}", series.active);
}
