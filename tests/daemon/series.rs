//! `GET /series` of a real server: it samples itself, once a second.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Server, Setup, Signal, wait_until};
use jiff::Timestamp;
use shibudb::management::wire::Series;
use shibudb::series::ring;

fn series_of(server: &Server) -> Series {
    serde_json::from_str(&server.get("/series").body).unwrap()
}

#[test]
fn a_running_server_remembers_what_was_a_second_ago() {
    let server = Setup::new().limit(3).start();
    let series = || series_of(&server);
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

#[test]
fn a_restart_leaves_the_samples_from_before_and_a_gap() {
    let mut server = Setup::new().limit(3).start();
    let held = server.connect();
    server.wait_until_active(1);
    wait_until("it is in a sample", || series_of(&server).active.contains(&1));
    let before = series_of(&server);
    let kept = || ring::read(&server.data_dir(), Timestamp::now());
    // A kill takes nothing that is in the file, and what is in memory is there within a second. Twice, since the new
    // process replaces the sample of the second in which it starts.
    wait_until("it is in the file", || kept().iter().filter(|sample| sample.active == 1).count() >= 2);
    let mode = std::fs::metadata(server.data_dir().join("series")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.kill();
    drop(held);
    server.start_again();
    wait_until("it takes samples again", || series_of(&server).active.ends_with(&[0]));
    let after = series_of(&server);
    assert_eq!(after.time[0], before.time[0]);
    assert!(after.active.contains(&1), "{after:?}");
    assert!(after.time.is_sorted_by(|one, next| one < next), "{:?}", after.time);

    // With a clean stop, not even the last second is lost.
    server.set_limit(77);
    // Twice, since a second that ends with another limit has that.
    wait_until("it is in two samples", || series_of(&server).limit.ends_with(&[77, 77]));
    assert!(server.stop().success());
    server.start_again_with_limit(Some(4));
    wait_until("it takes samples again", || series_of(&server).limit.ends_with(&[4]));
    assert!(series_of(&server).limit.contains(&77), "{:?}", series_of(&server));
    assert!(!server.log().contains("samples"), "{}", server.log());
}

#[test]
fn what_is_wrong_with_the_file_is_one_line_and_an_empty_series() {
    let mut server = Setup::new().limit(3).start();
    let path = server.data_dir().join("series");
    let one_line = |server: &Server, words: &str| {
        wait_until("it takes samples", || !series_of(server).time.is_empty());
        assert!(series_of(server).limit.iter().all(|limit| *limit == 4), "{:?}", series_of(server));
        assert_eq!(server.log().matches(words).count(), 1, "{}", server.log());
    };
    let again = |server: &mut Server| {
        assert!(server.stop().success());
        std::fs::write(&path, "not a series").unwrap();
        server.start_again_with_limit(Some(4));
    };
    wait_until("the file is made", || path.exists());
    again(&mut server);
    one_line(&server, "does not hold the last hour's samples, or is damaged; starting a new series");
    wait_until("it is made anew", || !ring::read(&server.data_dir(), Timestamp::now()).is_empty());

    // A directory in place of the file prevents storing samples, but not the start.
    assert!(server.stop().success());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(path.join("in-the-way")).unwrap();
    server.start_again();
    one_line(&server, "cannot read the last hour's samples");
    server.wait_for_log("cannot store the samples of the last hour");
    assert!(server.stop().success());

    // A link is not followed either.
    std::fs::remove_dir_all(&path).unwrap();
    let elsewhere = server.config_path();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    server.start_again();
    one_line(&server, "is a symbolic link, which is not followed");
    wait_until("a file has taken its place", || std::fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "# no settings\n");
}
