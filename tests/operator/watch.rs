//! The output of `manager watch`, on a terminal of tmux and without one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::harness::{Server, Setup, Signal, Terminal, shibudb};
use rustix::process::{Pid, kill_process};

/// Starts `manager watch` on this server.
#[track_caller]
fn watch(terminal: &Terminal, server: &Server) {
    terminal.enter(&format!("{} manager {} watch", env!("CARGO_BIN_EXE_shibudb"), server.port()));
    terminal.wait_for("q quit");
}

#[test]
fn the_view_shows_what_goes_on_and_changes_the_limit_when_asked_twice() {
    let Some(terminal) = Terminal::open(80, 24) else { return };
    let server = Setup::new().limit(150).start();
    let clients = [server.admin(), server.admin(), server.admin()];
    watch(&terminal, &server);
    terminal.wait_for(&format!("shibudb on port {}", server.port()));
    terminal.wait_for("active 3 (2.0 %)");
    terminal.wait_for("limit 150");
    terminal.wait_for("- → 150 applied");

    terminal.press(&["+"]);
    terminal.wait_for("Raise the limit from 150 to 250? y / n");
    assert_eq!(server.limit(), 150);
    terminal.press(&["n"]);
    terminal.wait_for("q quit");
    terminal.press(&["+"]);
    terminal.wait_for("Raise the limit from 150 to 250? y / n");
    terminal.press(&["y"]);
    terminal.wait_for("increased from 150 to 250");
    assert_eq!(server.limit(), 250);
    terminal.wait_for("150 → 250 applied");
    terminal.wait_for("Configured Limit: 150 (override: 250 set through cli");

    server.set_limit(50);
    terminal.wait_for("limit 50");
    terminal.press(&["-"]);
    terminal.wait_for("Lower the limit from 50 to -50? y / n");
    terminal.press(&["Enter"]);
    terminal.wait_for("50 → -50 refused");
    assert_eq!(server.limit(), 50);

    server.signal(Signal::USR1);
    terminal.wait_for("signal");
    terminal.wait_for("50 → 150 applied");
    drop(clients);
    terminal.wait_for("active 0 ");

    terminal.press(&["q"]);
    terminal.wait_for("ready>");
    assert!(!terminal.screen().contains("q quit"), "{}", terminal.screen());
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_followed() {
    let Some(terminal) = Terminal::open(100, 30) else { return };
    let mut server = Setup::new().limit(150).start();
    watch(&terminal, &server);
    server.kill();
    terminal.wait_for("connection refused; as of ");
    terminal.press(&["+"]);
    terminal.press(&["y"]);
    terminal.wait_for("connection refused; as of ");
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    terminal.wait_for("shibudb on port");
    terminal.press(&["C-c"]);
    terminal.wait_for("ready>");
}

#[test]
fn a_wrong_port_is_an_error_and_not_a_view() {
    let Some(terminal) = Terminal::open(80, 24) else { return };
    let mut server = Setup::new().start();
    let port = server.port();
    server.kill();
    terminal.enter(&format!("{} manager {port} watch; echo status $?", env!("CARGO_BIN_EXE_shibudb")));
    terminal.wait_for("Error: Failed to connect to management server: connection refused");
    terminal.wait_for("status 1");
}

#[test]
fn a_terminated_view_leaves_the_terminal_as_it_was() {
    let Some(terminal) = Terminal::open(80, 24) else { return };
    let server = Setup::new().start();
    watch(&terminal, &server);
    let shell = String::from_utf8(terminal.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
    let shell = shell.trim();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let view = children.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(view).unwrap(), Signal::TERM).unwrap();
    terminal.wait_for("ready>");
    terminal.enter("echo it is s''een");
    terminal.wait_for("it is seen");
}

/// Killed at the end of the test, whatever its result.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn without_a_terminal_it_is_a_line_a_second() {
    let server = Setup::new().limit(150).start();
    let _client = server.admin();
    let home = tempfile::tempdir().unwrap();
    for (json, wanted) in
        [(false, "  active 1  limit 150  usage 0.7%  accepted "), (true, r#""active":1,"limit":150,"#)]
    {
        let port = server.port().to_string();
        let mut watch = shibudb(home.path(), ["manager", &port, "watch"]);
        let mut watch = Running(watch.args(json.then_some("--json")).stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let seen: Vec<_> = lines.by_ref().skip_while(|line| !line.contains(wanted)).take(2).collect();
        assert_eq!(seen.len(), 2);
        assert!(seen[0] != seen[1] && seen.iter().all(|line| line.contains(wanted)), "{seen:?}");
        // A closed reader is not an error.
        drop(lines);
        assert!(watch.0.wait().unwrap().success());
    }
}
