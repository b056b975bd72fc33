//! The published Python client, unchanged, against a real server: `shibudb-client` from PyPI, in a
//! virtual environment that the test makes once under `target/`.

mod doors;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::harness::{PASSWORD, Setup};
use crate::venv;

#[test]
fn an_ordinary_day() {
    let Some(mut python) = venv::python("everyday.py") else { return };
    let server = Setup::new().limit(30).start();
    let output = python.arg(server.port().to_string()).arg(PASSWORD).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all is well"), "{error}");
    server.wait_until_active(0);
}

#[test]
fn the_rest_of_its_surface_and_a_restart() {
    let Some(mut python) = venv::python("surface.py") else { return };
    let mut server = Setup::new().limit(30).start();
    python.arg(server.port().to_string()).arg(PASSWORD);
    let mut program = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
    // If a check fails, it ends with a traceback on standard error instead.
    assert_eq!(said.next().transpose().unwrap().as_deref(), Some("restart"));
    server.kill();
    server.start_again();
    writeln!(program.stdin.take().unwrap(), "{}", server.port()).unwrap();
    assert_eq!(said.next().transpose().unwrap().as_deref(), Some("all is well"));
    assert!(program.wait().unwrap().success());
    server.wait_until_active(0);
}
