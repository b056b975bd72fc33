//! Runs a test again in another environment.

use std::any::type_name;
use std::env;
use std::process::Command;

use super::skipped;

/// A private mount namespace, which ends with the process.
pub(crate) const OWN_MOUNTS: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

/// For a test that changes something of its whole process, such as a resource limit.
pub(crate) const OWN_PROCESS: [&str; 1] = ["env"];

/// For a test of permissions, which root has regardless.
pub(crate) const NOT_ROOT: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Set for a test in that environment.
const INSIDE: &str = "SHIBUDB_TEST_INSIDE";

/// Whether this process is the one in the other environment.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Whether this process is the one under the command line `wrapper`. If not, runs the test `name` again there, as far
/// as that is possible here; the caller returns.
pub(crate) fn is_beneath(wrapper: &[&str], name: &str) -> bool {
    is_inside() || {
        again_beneath(wrapper, name);
        false
    }
}

/// The name of the enclosing test, as the test harness knows it.
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::harness::test_around(&here)
    }};
}
pub(crate) use this_test;

/// The name of the test that contains the function or closure `inner`, as the test harness knows it.
pub(crate) fn test_around<F>(_inner: &F) -> &'static str {
    let (_program, path) = type_name::<F>().split_once("::").unwrap();
    path.rsplit_once("::").unwrap().0
}

/// Runs the test `name` again under the command line `wrapper`. Returns false, and prints one line, if that
/// is impossible here.
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

/// Runs only the test `name` of this program, as the last arguments of `command`. It must pass.
pub(crate) fn run_again(command: &mut Command, name: &str) {
    let output = command
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // The test harness does not fail for an unknown name.
    assert!(output.status.success() && out.contains("test result: ok. 1 passed"), "{name}: {out}{err}");
    // The numbers that a test reports, and why one was skipped.
    print!("{out}");
    eprint!("{err}");
}
