//! Everything at once: clients of all kinds, operators at every door, a process that is stopped and
//! killed, and a disk that is full now and then.
//!
//! In every case: no change of the limit is lost, unrecorded or against the rules, no acknowledged write is
//! lost, no client is disconnected or left without an answer except by a kill, and in the end no connection
//! is counted.
//!
//! `SHIBUDB_CHAOS_SECONDS` makes it longer than 20 s, `SHIBUDB_CHAOS_SEED` repeats the random numbers of a
//! run, but not its interleaving.

mod clients;
mod history;
mod ledger;
mod operators;
mod scene;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{PASSWORD, Server, Setup, Signal, SmallDisk, sandbox, wait_until};
use clients::Manner;
use history::Chronicle;
use operators::{Told, request};
use scene::{ConfigFile, Dice, Scene};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn chaos() {
    sandbox::enter(|sandbox| {
        let disk = SmallDisk::mount(sandbox).path().to_owned();
        let length = Duration::from_secs(from_environment("SHIBUDB_CHAOS_SECONDS").unwrap_or(20));
        let seed = from_environment("SHIBUDB_CHAOS_SEED")
            .unwrap_or_else(|| RandomState::new().hash_one("seed") % 1_000_000);
        println!("chaos: {} s, seed {seed}", length.as_secs());
        let max_connections = 15;
        let server = Setup::new().config(operators::text(max_connections)).within(&disk).start();
        server.admin().expect_ok(&json!({"type": "CREATE_SPACE", "space": ledger::SPACE}), "SPACE_CREATED");
        let scene = Scene::new(server, ConfigFile { max_connections, broken: false });
        let (told, chronicle) = (Told::default(), Chronicle::default());
        everybody(&scene, &told, &chronicle, &disk, length, seed);
        chronicle.read_memory(&scene);
        chronicle.read_file(&scene);
        let records = chronicle.check(&told);
        println!("{}  {records:>9} records, one unbroken chain", scene.counts);
        every_place_is_free(&scene.server.into_inner().unwrap());
    });
}

/// Runs all threads until the end of the test. A panic of one of them ends all.
fn everybody(scene: &Scene, told: &Told, chronicle: &Chronicle, disk: &Path, length: Duration, seed: u64) {
    use Manner::{Good, Pipelining, Resetting, Slow};
    let dice = |number: u64| Dice(seed.wrapping_mul(1000) + number);
    let manners = [Good, Good, Good, Good, Slow, Slow, Pipelining, Pipelining, Resetting, Resetting];
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, manner) in (0..).zip(manners) {
            threads.push(scope.spawn(move || clients::write(scene, manner, number, dice(number))));
        }
        for number in 20..22 {
            threads.push(scope.spawn(move || clients::send_garbage(scene, dice(number))));
            threads.push(scope.spawn(move || operators::over_http(scene, told, dice(number + 10))));
        }
        threads.push(scope.spawn(|| clients::be_silent(scene, 6)));
        threads.push(scope.spawn(move || operators::on_the_command_line(scene, told, dice(40))));
        threads.push(scope.spawn(move || operators::by_signal(scene, dice(41))));
        threads.push(scope.spawn(move || operators::in_the_file(scene, dice(42))));
        threads.push(scope.spawn(|| chronicle.follow(scene)));

        let (start, mut dice) = (Instant::now(), dice(50));
        while start.elapsed() < length && !threads.iter().any(|thread| thread.is_finished()) {
            std::thread::sleep(dice.millis(300, 1500));
            match dice.below(4) {
                0 => stop_for_a_while(scene, &mut dice),
                1 => fill_the_disk(scene, told, chronicle, disk, &mut dice),
                _ => kill(scene, chronicle, dice.below(2) == 0),
            }
        }
        scene.end();
    });
}

fn stop_for_a_while(scene: &Scene, dice: &mut Dice) {
    let server = scene.server.read().unwrap();
    server.signal(Signal::STOP);
    std::thread::sleep(dice.millis(50, 500));
    server.signal(Signal::CONT);
    scene.counts.add("times stopped and continued", 1);
}

fn fill_the_disk(scene: &Scene, told: &Told, chronicle: &Chronicle, disk: &Path, dice: &mut Dice) {
    let filler = disk.join("filler");
    scene.disk_is_full();
    // As much of it as fits.
    fs::write(&filler, vec![1; 250 << 20]).ok();
    std::thread::sleep(dice.millis(200, 800));
    fs::remove_file(filler).unwrap();
    scene.disk_is_full();
    scene.counts.add("times the disk was full", 1);
    // Records that could not be written are in memory only.
    chronicle.read_memory(scene);
    // The next start continues the numbers of the history from the file.
    let there = scene.whereabouts();
    wait_until("a change is recorded on the disk again", || {
        let answer = request(there, "POST", "/limit/increase", r#"{"amount":1}"#).unwrap();
        operators::note(scene, told, there, &answer);
        let server = scene.server.read().unwrap();
        let file = fs::read_to_string(server.data_dir().join("limit-history.jsonl")).unwrap();
        answer.status == 200 && file.contains(&format!("\"revision\":{},", answer.revision.unwrap()))
    });
}

/// Kills the server and starts it again; `quietly` means while no change of the limit is in progress. Then
/// the limit afterwards is the previous one, or the one in the file.
fn kill(scene: &Scene, chronicle: &Chronicle, quietly: bool) {
    let quiet = quietly.then(|| scene.gate.write().unwrap());
    if quiet.is_some() {
        // Signals need a moment to arrive.
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut file = scene.file.lock().unwrap();
    operators::mend(scene, &mut file);
    chronicle.read_file(scene);
    scene.kill();
    scene.counts.add("times killed and started again", 1);
    chronicle.read_file(scene);
    let (before, after) = chronicle.last_start();
    assert!(
        quiet.is_none() || after == before || after == i64::from(file.max_connections),
        "started with a limit of {after}, and it was {before}, and {} in the file",
        file.max_connections
    );
}

/// Nothing has leaked: no client is connected, as many as the limit are admitted, and not one more.
fn every_place_is_free(server: &Server) {
    server.wait_until_active(0);
    let limit = server.limit();
    let inside: Vec<_> = (0..limit).map(|_| server.login("admin", PASSWORD)).collect();
    let rejection = server.connect().line().unwrap();
    assert!(rejection.contains(&format!("Server at maximum capacity ({limit} connections)")), "{rejection}");
    drop(inside);
    server.wait_until_active(0);
}
