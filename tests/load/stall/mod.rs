//! Stalls of things outside the server: while one stalls, only what depends on it waits.
//!
//! Each test stalls one thing while clients work, and uses all doors repeatedly. It asserts that every
//! request is answered *before* the stall ends; the time of the slowest is printed (`--nocapture`), and
//! asserted under `SHIBUDB_TEST_TIMES=1`. A stall lasts a few seconds; `SHIBUDB_TEST_STALL=60` makes it a minute.

mod disk;
mod doors;
mod watch;
mod workload;

use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::ears::Ears;
use crate::harness::{HangingFs, OWN_MOUNTS, Server, Setup, Signal, is_beneath, sandbox, this_test, within};
use disk::Disk;
use doors::Doors;
use watch::Watch;
use workload::{Needs, Workload};

/// In place of the unit's `WatchdogSec=`.
const WATCHDOG: Duration = Duration::from_secs(4);

/// The longest time that a client's request should take, whatever stalls.
const SLOWEST: Duration = Duration::from_millis(100);

/// How long connections may finish when the server stops.
const SETTINGS: &str = "[shutdown]\ndrain_timeout = \"1s\"\n";

/// The duration of a stall.
fn length() -> Duration {
    let seconds = std::env::var("SHIBUDB_TEST_STALL").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

fn watched(ears: &Ears, setup: Setup) -> Server {
    ears.of(setup.limit(40)).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()).start()
}

/// Uses everything that must continue, during the stall.
fn all_goes_on(what: &str, server: &Server, doors: &mut Doors, needs: Needs, watch: Option<&Watch>) {
    let workload = Workload::begin(server, needs);
    let end = Instant::now() + length();
    let mut rounds = 0;
    while Instant::now() < end || rounds < 3 {
        doors.go_through(server);
        rounds += 1;
    }
    if let Some(watch) = watch {
        watch.is_fed();
    }
    let (requests, slowest) = workload.end();
    println!("{what} stands still: {requests} requests; {rounds} rounds through {doors}");
    within("the slowest request", slowest, SLOWEST);
}

/// Stops the server during the stall.
fn ends_in_time(mut server: Server) {
    let _client = server.admin();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[test]
fn the_log_is_a_pipe_that_is_not_read() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new().config(SETTINGS));
    let watch = Watch::over(ears);
    let mut doors = Doors::open(&server);
    server.pause_reading_its_log(true);
    doors.refuse_much(&server);
    all_goes_on("the log's reader", &server, &mut doors, Needs::Nothing, Some(&watch));

    // Dropped lines are counted, and the count is logged when there is room.
    server.pause_reading_its_log(false);
    server.wait_for_log("log lines were dropped");
    server.pause_reading_its_log(true);
    doors.refuse_much(&server);
    ends_in_time(server);
}

#[test]
fn the_journal_is_not_read() {
    sandbox::enter(|_| {
        let ears = Ears::new();
        let server = watched(&ears, Setup::new().config(SETTINGS).journal());
        let watch = Watch::over(ears);
        let mut doors = Doors::open(&server);
        server.pause_reading_its_log(true);
        doors.refuse_much(&server);
        all_goes_on("the journal", &server, &mut doors, Needs::Nothing, Some(&watch));
        ends_in_time(server);
    });
}

#[test]
fn the_notify_socket_is_not_read() {
    let ears = Ears::new();
    let server = watched(&ears, Setup::new().config(SETTINGS));
    let mut doors = Doors::open(&server);
    all_goes_on("the notify socket", &server, &mut doors, Needs::Nothing, None);
    ends_in_time(server);
}

#[test]
fn the_file_system_of_the_config_and_the_token_does_not_answer() {
    const TOKEN: &str = "a-token-that-nobody-can-guess-0123456789";
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let share = HangingFs::new();
    let (config, token) = (share.path().join("shibudb.toml"), share.path().join("token"));
    let settings = format!("{SETTINGS}[management]\ntoken_file = \"{}\"\n", token.display());
    fs::write(share.source().join("shibudb.toml"), settings).unwrap();
    write_secret(&share.source().join("token"), TOKEN);
    let own = tempfile::tempdir().unwrap();
    write_secret(&own.path().join("token"), TOKEN);

    let ears = Ears::new();
    let server = watched(&ears, Setup::new().config_file(config).token(TOKEN));
    let watch = Watch::over(ears);
    let mut doors = Doors::open(&server);
    doors.with_token_file(&own.path().join("token"));
    share.freeze();
    all_goes_on("the share with config and token", &server, &mut doors, Needs::Nothing, Some(&watch));
    ends_in_time(server);
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_data_disk_does_not_answer() {
    let Some((disk, setup)) = Disk::under(Setup::new().config(SETTINGS)) else { return };
    let ears = Ears::new();
    let server = watched(&ears, setup);
    let watch = Watch::over(ears);
    let mut doors = Doors::open(&server);
    doors.nothing_is_stored();
    disk.hang(true);
    all_goes_on("the data disk", &server, &mut doors, Needs::Writes, Some(&watch));
    ends_in_time(server);
}

/// The connection only waits for its answer, so it does not count as active.
#[test]
fn who_has_said_all_holds_no_place_while_its_write_waits_for_the_disk() {
    let Some((disk, setup)) = Disk::under(Setup::new()) else { return };
    let server = setup.start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    let (mut reads_on, mut gone) = (server.admin(), server.admin());
    server.wait_until_active(3);
    disk.hang(true);
    for client in [&mut reads_on, &mut gone] {
        client.send("{\"type\":\"PUT\",\"space\":\"s\",\"key\":\"k\",\"value\":\"v\"}\n");
    }
    reads_on.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    drop(gone);
    server.wait_until_active(1);
    disk.hang(false);
    let answer = reads_on.line().unwrap();
    assert!(answer.contains("\"OK\""), "{answer}");
    assert_eq!(reads_on.line(), None);
}
