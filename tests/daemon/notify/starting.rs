//! A slow start: its reports to systemd, to the log, and to the user of `shibudb start`.
//!
//! It is slow because the last journal is a pipe without a writer, like a disk that never answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rexpect::session::{Options, spawn_with_options};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::ears::Ears;
use crate::harness::sandbox::{self, Sandbox};
use crate::harness::{Client, Log, MAX_WAIT, PASSWORD, Setup, refused, shibudb, wait_until};

/// The status during the start.
const STARTING: &str = "starting: opening the store, ";

/// Puts a pipe behind the journals of a store that is closed.
fn block(data_dir: &Path) -> PathBuf {
    let store = data_dir.join("store");
    let number = |path: PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let journals = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    let journals = journals.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    // A gap in the numbers would be damage.
    let last = journals.filter_map(number).max().unwrap();
    let journal = store.join(format!("{}.jnl", last + 1));
    mknodat(CWD, &journal, FileType::Fifo, Mode::RWXU, 0).unwrap();
    journal
}

/// Unblocks the reader of the pipe, which finds an invalid journal and fails.
fn unblock(journal: &Path) {
    drop(File::options().write(true).open(journal).unwrap());
}

#[test]
fn systemd_and_the_log_hear_of_it_and_a_start_that_hangs_is_given_up() {
    let mut server = Setup::new().start();
    drop(server.admin());
    server.kill();
    let journal = block(&server.data_dir());
    let ears = Ears::new();
    let home = tempfile::tempdir().unwrap();
    let mut command = shibudb(home.path(), ["run", "0", "--config"]);
    command.arg(server.config_path()).arg("--data-dir").arg(server.data_dir());
    ears.tell(&mut command);
    let mut start = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::of(start.stderr.take().unwrap());

    let is_word = |message: &crate::harness::ears::Message| {
        message.get("STATUS").is_some_and(|status| status.starts_with(STARTING))
    };
    let first = ears.hear("what it is at", is_word);
    let status = first.get("STATUS").unwrap();
    assert!(status.contains(" KiB of journals and ") && status.contains(" read in "), "{status}");
    // It has read the earlier journal.
    assert_eq!(first.get("EXTEND_TIMEOUT_USEC"), Some("15000000"));
    assert!(log.wait_for("INFO ").contains(status), "{}", log.text());

    wait_until("there is a second line", || log.text().matches(STARTING).count() >= 2);
    let rest: Vec<_> = std::iter::from_fn(|| ears.hear_within(Duration::ZERO)).collect();
    assert!(!rest.is_empty() && rest.iter().all(is_word), "{rest:?}");
    assert!(rest.iter().all(|message| !message.has("EXTEND_TIMEOUT_USEC")), "{rest:?}");

    unblock(&journal);
    ears.hear("that it has failed", |message| message.has("X_SHIBUDB_ERROR"));
    assert!(!start.wait().unwrap().success());
}

/// A server of `shibudb start` that was stopped, and whose next start hangs.
fn stopped(sandbox: &Sandbox) -> PathBuf {
    let pid = sandbox.start(100);
    // Then the account is stored.
    Client::connect(([127, 0, 0, 1], 9090).into()).login("admin", PASSWORD);
    // Killed: after a clean stop there would be no journal to read before the pipe.
    sandbox.run(&format!("kill -9 {pid}"));
    wait_until("it is gone", || std::net::TcpStream::connect(("127.0.0.1", 9090)).is_err());
    block(Path::new("/var/lib/shibudb"))
}

#[test]
fn who_starts_it_by_hand_hears_of_it() {
    sandbox::enter(|sandbox| {
        let journal = stopped(sandbox);
        let mut command = sandbox.bash("shibudb start 9090");
        let start = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Path::new("/var/lib/shibudb/shibudb.log");
        wait_until("it says so", || std::fs::read_to_string(log).unwrap().contains(STARTING));
        unblock(&journal);
        let said = refused(&start.wait_with_output().unwrap(), 1);
        let lines: Vec<_> = said.lines().collect();
        assert!(lines.len() >= 2 && lines[0].starts_with(STARTING), "{said}");
        assert!(lines.last().unwrap().starts_with("Error: "), "{said}");
    });
}

#[test]
fn on_a_terminal_it_is_a_line_that_is_gone_at_the_end() {
    sandbox::enter(|sandbox| {
        let journal = stopped(sandbox);
        let mut command = sandbox.bash("shibudb start 9090");
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        let max_wait = u64::try_from(MAX_WAIT.as_millis()).unwrap();
        let mut terminal = spawn_with_options(command, Options::new().timeout_ms(Some(max_wait))).unwrap();
        // It is redrawn each second.
        terminal.exp_string(STARTING).unwrap();
        terminal.exp_string(STARTING).unwrap();
        unblock(&journal);
        let rest = terminal.exp_eof().unwrap();
        let (_, last) = rest.rsplit_once("\u{1b}[2K").unwrap();
        // Text longer than a line of the terminal is cleared line by line, and the cursor moves back up.
        let last = last.trim_start_matches("\u{1b}[1A").trim_start();
        assert!(last.starts_with("Error: "), "{rest:?}");
    });
}
