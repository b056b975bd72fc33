//! What was acknowledged is there after a crash: of the server, of the whole machine, and with a
//! disk that fails.
//!
//! `SHIBUDB_TEST_ALL=1` makes it 100 crashes instead of 25.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;
mod writers;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::json;

use harness::{Server, Setup};
use writers::{Dice, Writer};

const WRITERS: usize = 32;
/// One keeps to the durability of the server, the other has `enable_wal: false`.
const SPACES: [&str; 2] = ["careful", "loose"];

/// Everybody who writes, and when the server is to crash.
struct Crowd {
    writers: Vec<Writer>,
    dice: Dice,
    seed: u64,
}

impl Crowd {
    /// Half of them write to either space.
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

    /// Has all of them write, those of `once` no key twice, and kills the server in the middle of
    /// it, at a random moment within these. Returns when that was.
    fn write_until_killed(&mut self, server: &mut Server, within: [u64; 2], once: impl Fn(usize) -> bool) -> Instant {
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

/// A killed process leaves behind what it has handed to the kernel: nothing is lost at all, whatever
/// the durability.
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
