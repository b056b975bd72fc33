//! Log lines on standard error: in colour for a person, plain for a file.

use std::fs::File;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::{Log, Setup};

const COLOUR: char = '\u{1b}';

#[test]
fn a_file_or_pipe_gets_plain_lines() {
    let server = Setup::new().start();
    assert!(!server.log().contains(COLOUR), "{}", server.log());
}

#[test]
fn a_terminal_gets_colours_unless_it_asks_for_none() {
    assert!(ready_line(None).contains(COLOUR));
    assert!(!ready_line(Some("1")).contains(COLOUR));
}

/// How a server reports readiness on a terminal.
fn ready_line(no_colour: Option<&str>) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shibudb"));
    command.args(["run", "0", "--data-dir"]).arg(home.path().join("data"));
    command.env_clear().envs(no_colour.map(|value| ("NO_COLOR", value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal);
    let mut server = command.spawn().unwrap();
    drop(command);
    let line = Log::of(File::from(ours)).wait_for("clients on");
    server.kill().unwrap();
    server.wait().unwrap();
    line
}
