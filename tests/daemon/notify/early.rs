//! Signals during a slow start. It is slow because the file with the first password is a pipe without a writer
//! at first.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, kill_process};

use crate::harness::ears::Ears;
use crate::harness::{Log, PASSWORD, Signal, shibudb, wait_until};

/// A server that is starting.
struct Start {
    child: Child,
    log: Log,
    ears: Ears,
    /// The pipe that it waits for.
    password: File,
    _home: tempfile::TempDir,
}

impl Start {
    fn begin() -> Self {
        let (home, ears) = (tempfile::tempdir().unwrap(), Ears::new());
        let config = home.path().join("shibudb.toml");
        fs::write(&config, "[log]\nlevel = \"debug\"\n").unwrap();
        let pipe = home.path().join("shibudb.admin-password");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let mut command = shibudb(home.path(), ["run", "0", "--config"]);
        command.arg(config).arg("--data-dir").arg(home.path().join("data"));
        command.env("CREDENTIALS_DIRECTORY", home.path());
        ears.tell(&mut command);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        // Returns when the server opens it, too.
        let password = File::options().write(true).open(pipe).unwrap();
        Self { child, log, ears, password, _home: home }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn go_on(&mut self) {
        write!(self.password, "{PASSWORD}").unwrap();
        // Causes an end of file.
        self.password = File::open("/dev/null").unwrap();
    }

    #[track_caller]
    fn ends_well(&mut self) {
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        // The process may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}

#[test]
fn one_to_stop_ends_it_in_good_order_once_the_start_is_over() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut start = Start::begin();
        start.signal(signal);
        start.ears.hear("STOPPING=1", |message| message.has("STOPPING"));
        start.go_on();
        start.ends_well();
        start.log.wait_for("INFO stopped");
        assert!(!start.log.text().contains("ready: "), "it was served");
    }
}

#[test]
fn a_second_one_ends_it_at_once() {
    let mut start = Start::begin();
    start.signal(Signal::INT);
    start.ears.hear("STOPPING=1", |message| message.has("STOPPING"));
    start.signal(Signal::INT);
    start.ends_well();
    start.log.wait_for("stopping at once, as asked by pid ");
}

#[test]
fn others_are_applied_as_soon_as_it_serves() {
    let mut start = Start::begin();
    for sent in 1..=10 {
        start.signal(Signal::USR1);
        wait_until("it is taken in", || start.log.text().matches("has sent a signal: Raise").count() == sent);
    }
    start.go_on();
    start.log.wait_for("ready: ");
    start.log.wait_for("connection limit changed from 1900 to 2000");
    start.signal(Signal::TERM);
    start.ends_well();
}
