//! Replays the fuzzing corpus: each file of `fuzz/corpus/` as one input.

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "shared with the targets of the fuzzing, where it is a library")]
mod must_hold;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for input in fs::read_dir(corpus).unwrap() {
        let input = input.unwrap().path();
        let bytes = fs::read(&input).unwrap();
        assert!(catch_unwind(|| check(&bytes)).is_ok(), "broken by {}", input.display());
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
    assert!(inputs > 0);
}

#[test]
fn lines_of_clients() {
    replay("protocol", must_hold::protocol);
}

#[test]
fn config_files() {
    replay("config", must_hold::config);
}

#[test]
fn bodies_of_the_management_api() {
    replay("management", must_hold::management);
}

#[test]
fn history_files() {
    replay("history", must_hold::history);
}

#[test]
fn files_with_a_limit_set_at_run_time() {
    replay("override_file", must_hold::override_file);
}

#[test]
fn journals_of_the_engine() {
    replay("journal", must_hold::journal);
}

#[test]
fn data_directories_to_be_taken_over() {
    replay("import", must_hold::import);
}
