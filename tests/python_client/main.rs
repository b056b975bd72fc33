//! The published Python client, unchanged, against a real server: `shibudb-client` from PyPI, in a
//! virtual environment that the test makes once under `target/`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod doors;
#[path = "../harness/mod.rs"]
mod harness;
mod venv;

use harness::{PASSWORD, Setup};

#[test]
fn an_ordinary_day() {
    let Some(mut python) = venv::python("everyday.py") else { return };
    let server = Setup::new().limit(30).start();
    let output = python.arg(server.port().to_string()).arg(PASSWORD).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all is well"), "{error}");
    server.wait_until_active(0);
}
