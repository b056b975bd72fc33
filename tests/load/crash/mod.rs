//! Acknowledged writes survive a crash of the server or of the whole machine, and a failing disk.
//!
//! `SHIBUDB_TEST_ALL=1` makes it 100 crashes instead of 25.

mod disk;
mod slow;
mod writers;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Server, Setup, Signal, wait_until};
use disk::Disk;
use writers::{Dice, Writer};

const WRITERS: usize = 32;
/// One uses the durability of the server, the other has `enable_wal: false`.
const SPACES: [&str; 2] = ["careful", "loose"];

/// The writers, and the time of the crash.
struct Crowd {
    writers: Vec<Writer>,
    dice: Dice,
    seed: u64,
}

impl Crowd {
    /// Half of the writers write to each space.
    fn new(server: &Server) -> Self {
        let mut admin = server.admin();
        for space in SPACES {
            admin.expect_ok(
                &json!({"type": "CREATE_SPACE", "space": space, "enable_wal": space == SPACES[0]}),
                "SPACE_CREATED",
            );
        }
        let seed = RandomState::new().hash_one("seed");
        let writers = (0..WRITERS).map(|number| Writer::new(number, SPACES[number % 2], seed)).collect();
        Self { writers, dice: Dice(seed), seed }
    }

    /// Runs all writers, those of `once` without using a key twice, and kills the server meanwhile, at a
    /// random moment within the given range. Returns the time of the kill.
    fn write_until_killed(
        &mut self,
        server: &mut Server,
        within: [u64; 2],
        once: impl Fn(usize) -> bool,
    ) -> Instant {
        let address = server.address();
        let moment = Duration::from_millis(within[0] + self.dice.below(within[1] - within[0]));
        std::thread::scope(|scope| {
            for (number, writer) in self.writers.iter_mut().enumerate() {
                let once = once(number);
                scope.spawn(move || writer.write(address, once, WRITERS));
            }
            std::thread::sleep(moment);
            let end = Instant::now();
            server.kill();
            end
        })
    }

    fn report(&self, what: &str, crashes: usize, since: Instant) {
        let puts: u64 = self.writers.iter().map(|writer| writer.acknowledged.puts).sum();
        let deletes: u64 = self.writers.iter().map(|writer| writer.acknowledged.deletes).sum();
        println!(
            "{what}: {crashes} crashes, {puts} acknowledged PUTs and {deletes} DELETEs of {WRITERS} writers, \
             {:.1?}, seed {}",
            since.elapsed(),
            self.seed
        );
        assert!(puts > 100 * crashes as u64 / 4, "hardly anything was written");
    }
}

fn crashes(few: usize, all: usize) -> usize {
    if std::env::var_os("SHIBUDB_TEST_ALL").is_some_and(|value| value == "1") { all } else { few }
}

/// The kernel keeps what a killed process has written: nothing is lost, whatever the durability.
fn nothing_is_lost_when_killed(durability: &str, crashes: usize) {
    let start = Instant::now();
    let mut server = Setup::new().config(format!("[storage]\ndurability = \"{durability}\"\n")).start();
    let mut crowd = Crowd::new(&server);
    for _ in 0..crashes {
        crowd.write_until_killed(&mut server, [20, 300], |_| false);
        server.start_again();
        let mut client = server.admin();
        writers::exchange_what_was_seen(&mut crowd.writers);
        for writer in &mut crowd.writers {
            writer.expect_everything(&mut client);
        }
    }
    let mut client = server.admin();
    for writer in &crowd.writers {
        writer.expect_nothing_changed(&mut client);
    }
    crowd.report(&format!("killed, durability {durability:?}"), crashes, start);
}

#[test]
fn killed_at_any_moment_it_has_kept_every_acknowledged_write() {
    nothing_is_lost_when_killed("always", crashes(25, 100));
}

#[test]
fn killed_at_any_moment_it_has_kept_them_with_a_sync_per_second_too() {
    nothing_is_lost_when_killed("1s", crashes(10, 50));
}

/// Acknowledged writes after a power failure: with a sync per request nothing is lost, without it only the
/// last second.
fn little_is_lost_when_the_power_fails(durability: &str, crashes: usize, within: [u64; 2]) {
    let start = Instant::now();
    let setup = Setup::new().config(format!("[storage]\ndurability = \"{durability}\"\n"));
    let Some((mut disk, setup)) = Disk::under(setup) else { return };
    let mut server = setup.start();
    let mut crowd = Crowd::new(&server);
    let loose = |number| durability == "1s" || number % 2 == 1;
    let (mut gone, mut lost) = (0, 0);
    for _ in 0..crashes {
        let end = crowd.write_until_killed(&mut server, within, loose);
        gone += disk.power_failure(&server.data_dir(), &mut crowd.dice);
        server.start_again();
        let mut client = server.admin();
        writers::exchange_what_was_seen(&mut crowd.writers);
        for (number, writer) in crowd.writers.iter_mut().enumerate() {
            match loose(number) {
                false => writer.expect_everything(&mut client),
                true => lost += writer.expect_all_but_the_last_second(&mut client, end),
            }
        }
    }
    let mut client = server.admin();
    for writer in &crowd.writers {
        writer.expect_nothing_changed(&mut client);
    }
    crowd.report(&format!("power failed, durability {durability:?}"), crashes, start);
    println!("    {gone} bytes of journals were lost, and {lost} writes of which that is said");
    assert!(gone > 0);
}

#[test]
fn when_the_power_fails_every_acknowledged_write_is_on_the_disk() {
    little_is_lost_when_the_power_fails("always", crashes(10, 40), [20, 300]);
}

#[test]
fn when_the_power_fails_a_sync_per_second_loses_the_last_second() {
    little_is_lost_when_the_power_fails("1s", crashes(2, 10), [1100, 2500]);
}

#[test]
fn a_sync_that_fails_is_told_and_takes_nothing_away() {
    let Some((disk, setup)) = Disk::under(Setup::new()) else { return };
    let mut server = setup.start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    let put = |number: usize| json!({"type": "PUT", "space": "s", "key": format!("k{number}"), "value": "v"});
    for round in 0..5 {
        for number in 0..20 {
            admin.expect_ok(&put(round * 100 + number), "OK");
        }
        disk.fail(true);
        for number in 20..25 {
            let answer = admin.ask(&put(round * 100 + number));
            assert_eq!(answer["status"], "ERROR", "{answer}");
        }
        // Readers are not affected, and accounts cannot be changed either.
        for number in 0..20 {
            let get = json!({"type": "GET", "space": "s", "key": format!("k{}", round * 100 + number)});
            assert_eq!(admin.ask(&get), json!({"status": "OK", "value": "v"}));
        }
        let user = json!({"username": "u", "password": "p", "role": "user"});
        let answer = admin.ask(&json!({"type": "CREATE_USER", "new_user": user}));
        assert_eq!(answer["status"], "ERROR", "{answer}");
        server.login("admin", crate::harness::PASSWORD);
        if round % 2 == 0 {
            server.kill();
            disk.fail(false);
            server.start_again();
            admin = server.admin();
        } else {
            disk.fail(false);
            wait_until("writes come back", || admin.ask(&put(round * 100 + 30))["status"] == "OK");
            assert!(!server.log().contains("panicked"), "{}", server.log());
        }
        for number in (0..=round).flat_map(|round| (0..20).map(move |number| round * 100 + number)) {
            let get = json!({"type": "GET", "space": "s", "key": format!("k{number}")});
            assert_eq!(admin.ask(&get), json!({"status": "OK", "value": "v"}), "{number}");
        }
    }
}

/// Every answered change is in the history, and no tag is used again, whenever the power fails.
#[test]
fn when_the_power_fails_every_answered_change_of_the_limit_is_in_the_history() {
    let Some((disk, setup)) = Disk::under(Setup::new()) else { return };
    let mut server = setup.start();
    let mut tags = std::collections::HashSet::new();
    let mut answered = Vec::new();
    for cycle in 0..crashes(5, 30) {
        let before = server.get("/limit").header("etag").unwrap().to_owned();
        assert!(tags.insert(before.clone()), "{before}");
        for limit in 0..10 {
            let limit = 2000 + 10 * cycle + limit;
            let reply = server.put("/limit", &format!(r#"{{"limit":{limit}}}"#));
            assert_eq!((reply.status, reply.header("shibudb-recorded")), (200, None));
            assert!(tags.insert(reply.header("etag").unwrap().to_owned()), "{:?}", reply.header("etag"));
            answered.push(limit);
        }
        server.kill();
        disk.cut_history(&server.data_dir());
        server.start_again();
        assert_eq!(server.limit(), *answered.last().unwrap() as u64);
        let history = server.get("/history?limit=1000").json();
        let mut changes = history["changes"].as_array().unwrap().clone();
        changes.retain(|change| change["outcome"] == "applied");
        changes.reverse();
        let recorded: Vec<_> = changes
            .iter()
            .filter(|change| change["door"] == "http")
            .map(|change| usize::try_from(change["new"].as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(recorded, answered);
        let revisions = changes.iter().map(|change| change["revision"].as_u64().unwrap());
        assert!(revisions.eq(1..=changes.len() as u64), "grows by one with every change");
        let request = format!(
            "PUT /limit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIf-Match: {before}\r\n\
             Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{{\"limit\":3000}}"
        );
        assert_eq!(server.send_raw(request).status, 412);
    }
}

/// Every door works and reports what is not stored, and the server stops on request.
#[test]
fn a_data_disk_that_does_not_answer_stops_no_door() {
    let Some((disk, setup)) = Disk::under(Setup::new().limit(50)) else { return };
    let mut server = setup.start();
    disk.hang();
    for limit in [60, 61] {
        let reply = server.put("/limit", &format!(r#"{{"limit":{limit}}}"#));
        assert_eq!((reply.status, reply.header("shibudb-stored")), (200, Some("false")), "{}", reply.body);
        assert_eq!(server.limit(), limit);
        assert_eq!(server.get("/history?limit=1").json()["changes"][0]["new"], limit);
    }
    server.signal(Signal::USR1);
    server.wait_until_limit(161);
    server.write_config("max_connections = 70\n");
    server.wait_until_limit(70);
    let output = server.manager("limit 80");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Connection limit updated to 80\n");
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(warning.starts_with("Warning: the limit is in effect but not stored"), "{warning}");
    let status = String::from_utf8(server.manager("status").stdout).unwrap();
    assert!(status.contains("Not Stored: 80 is in effect"), "{status}");
    assert_eq!((server.get("/health").status, server.get("/stats").status), (200, 200));
    server.admin();
    assert!(server.stop().success());
    server.wait_for_log("the disk does not respond");
}
