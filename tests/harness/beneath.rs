//! A test that runs itself again in other surroundings.

use std::any::type_name;
use std::env;
use std::process::Command;

use super::skipped;

/// Mounts of its own, gone with the process.
pub(crate) const OWN_MOUNTS: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

/// For a test that changes something of its whole process, such as a resource limit.
pub(crate) const OWN_PROCESS: [&str; 1] = ["env"];

/// Set for a test that is in them.
const INSIDE: &str = "SHIBUDB_TEST_INSIDE";

/// Whether this process is the one in other surroundings.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// The name of the test in which this stands, as the test harness knows it.
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::harness::test_around(&here)
    }};
}
pub(crate) use this_test;

/// The name of the test in which the function or closure `inner` is written, as the test harness knows it.
pub(crate) fn test_around<F>(_inner: &F) -> &'static str {
    let (_program, path) = type_name::<F>().split_once("::").unwrap();
    path.rsplit_once("::").unwrap().0
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
    run_again(beneath().env(INSIDE, "1"), name);
    true
}

/// Runs the test `name` of this program, and nothing else of it, as the last words of `command`. It must pass.
pub(crate) fn run_again(command: &mut Command, name: &str) {
    let output = command
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // A name that no test has is no failure of the test harness.
    assert!(output.status.success() && out.contains("test result: ok. 1 passed"), "{name}: {out}{err}");
    // The numbers that a test reports, and why one was skipped.
    print!("{out}");
    eprint!("{err}");
}
