//! A test that runs itself again in other surroundings.

use std::env;
use std::process::Command;

use super::skipped;

/// Set for a test that is in them.
const INSIDE: &str = "SHIBUDB_TEST_INSIDE";

/// Whether this process is the one in other surroundings.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the test `name` again beneath the command line `wrapper`. False, with one line, if that
/// cannot be had here.
pub(crate) fn again_beneath(wrapper: &[&str], name: &str) -> bool {
    let beneath = || {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]);
        command
    };
    if !beneath().arg("true").status().is_ok_and(|status| status.success()) {
        skipped(&format!("{name} beneath {wrapper:?}, which cannot be had"));
        return false;
    }
    let status = beneath()
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed beneath {wrapper:?}");
    true
}
