//! A real server for one test: the built binary as a child process, in its own directory, on free ports.
//!
//!     let server = Setup::new().limit(50).start();
//!     let mut admin = server.admin();
//!     assert_eq!(server.put("/limit", r#"{"limit":60}"#).status, 200);
//!     server.signal(Signal::USR1);
//!     server.wait_for_log("160");
//!     assert!(server.stop().success());
//!
//! The machine's configuration does not affect it: it gets its own home and config file, without settings
//! unless the test provides them. Dropping it kills it, and prints its log if the test has failed.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses its own part of it")]

mod beneath;
mod client;
pub(crate) mod ears;
pub(crate) mod hanging_fs;
pub(crate) mod http;
mod log;
pub(crate) mod sandbox;
mod small_disk;
mod terminal;
mod times;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

pub(crate) use beneath::{
    NOT_ROOT, OWN_MOUNTS, OWN_PROCESS, again_beneath, is_beneath, is_inside, test_around, this_test,
};
pub(crate) use client::Client;
pub(crate) use hanging_fs::HangingFs;
pub(crate) use http::Reply;
pub(crate) use log::Log;
pub(crate) use rustix::process::Signal;
pub(crate) use small_disk::SmallDisk;
pub(crate) use terminal::Terminal;
pub(crate) use times::{Times, within};

/// Longer than any wait takes on the slowest machine.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);

/// The password of the account `admin`.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The server refuses an empty file, since a writer may not be done with it.
const NO_SETTINGS: &str = "# no settings\n";

/// The settings of a server before its start.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    limit: Option<u32>,
    config: String,
    environment: Vec<(String, String)>,
    open_files: Option<u32>,
    place: PathBuf,
    journal: bool,
    config_file: Option<PathBuf>,
    token: Option<String>,
}

/// A running server.
pub(crate) struct Server {
    setup: Setup,
    home: TempDir,
    child: Child,
    log: Log,
    port: u16,
    management_port: u16,
}

impl Setup {
    /// No limit is set: 1000 applies.
    pub(crate) fn new() -> Self {
        Self {
            limit: None,
            config: NO_SETTINGS.to_owned(),
            environment: Vec::new(),
            open_files: None,
            place: std::env::temp_dir(),
            journal: false,
            config_file: None,
            token: None,
        }
    }

    /// The limit on the command line.
    pub(crate) fn limit(self, limit: u32) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The text of the config file.
    pub(crate) fn config(self, text: impl Into<String>) -> Self {
        Self { config: text.into(), ..self }
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The parent of the server's directory, instead of the directory for temporary files.
    pub(crate) fn within(self, place: impl Into<PathBuf>) -> Self {
        Self { place: place.into(), ..self }
    }

    /// An existing config file, instead of one in the server's directory.
    pub(crate) fn config_file(self, path: impl Into<PathBuf>) -> Self {
        Self { config_file: Some(path.into()), ..self }
    }

    /// The token that requests to the management API send.
    pub(crate) fn token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// The server logs to the journal, which the test simulates: only in a separate sandbox.
    pub(crate) fn journal(self) -> Self {
        Self { journal: true, ..self }
    }

    /// The open-file limit that the process starts with, soft and hard, as `ulimit -n` sets it.
    pub(crate) fn open_files(self, limit: u32) -> Self {
        Self { open_files: Some(limit), ..self }
    }

    /// Starts the server and waits until it is ready and idle.
    pub(crate) fn start(self) -> Server {
        let home = tempfile::tempdir_in(&self.place).unwrap();
        fs::write(home.path().join("shibudb.toml"), &self.config).unwrap();
        let (child, log, ports) = self.spawn(home.path());
        // Only the first start logs this, after it is ready.
        log.wait_for("created the account admin");
        Server { setup: self, home, child, log, port: ports.0, management_port: ports.1 }
    }

    fn spawn(&self, home: &Path) -> (Child, Log, (u16, u16)) {
        let mut command = shibudb(home, ["run", "0"]);
        command.args(self.limit.map(|limit| limit.to_string()));
        command.arg("--config").arg(self.config_file.clone().unwrap_or(home.join("shibudb.toml")));
        command.arg("--data-dir").arg(home.join("data"));
        command.env("SHIBUDB_ADMIN_PASSWORD", PASSWORD);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(limit) = self.open_files {
            command = limited(&command, limit);
        }
        let journal = self.journal.then(log::Journal::bind);
        if self.journal {
            command = journaled(&command);
        }
        let mut child = command.spawn().unwrap();
        let log = match journal {
            Some(journal) => Log::of(journal),
            None => Log::of(child.stderr.take().unwrap()),
        };
        let ready = log.wait_for("ready: ");
        let ports = (port_after(&ready, "clients on "), port_after(&ready, "management on "));
        (child, log, ports)
    }
}

impl Server {
    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn management_port(&self) -> u16 {
        self.management_port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.setup.config_file.clone().unwrap_or_else(|| self.home.path().join("shibudb.toml"))
    }

    /// Writes the config file in place. The server notices the edit by itself.
    pub(crate) fn write_config(&self, text: impl AsRef<[u8]>) {
        fs::write(self.config_path(), text).unwrap();
    }

    // --- clients

    /// A connection that has sent nothing yet.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A connection that is logged in.
    #[track_caller]
    pub(crate) fn login(&self, username: &str, password: &str) -> Client {
        let mut client = self.connect();
        client.login(username, password);
        client
    }

    #[track_caller]
    pub(crate) fn admin(&self) -> Client {
        self.login("admin", PASSWORD)
    }

    // --- operators

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &str) -> Reply {
        self.request("PUT", path, Some(body))
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, Some(body))
    }

    #[track_caller]
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        http::request_with_token(self.management_port, method, path, self.setup.token.as_deref(), body)
    }

    /// Sends these bytes as a request, and reads the answer.
    #[track_caller]
    pub(crate) fn send_raw(&self, request: impl AsRef<[u8]>) -> Reply {
        http::send(self.management_port, request.as_ref())
    }

    /// `shibudb manager <port> <words>`.
    pub(crate) fn manager(&self, words: &str) -> Output {
        let port = self.port.to_string();
        shibudb(self.home.path(), ["manager", &port]).args(words.split_whitespace()).output().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The limit now.
    pub(crate) fn limit(&self) -> u64 {
        self.get("/limit").json()["current_limit"].as_u64().unwrap()
    }

    /// The active connections now.
    pub(crate) fn active(&self) -> u64 {
        self.get("/limit").json()["active_connections"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn set_limit(&self, limit: u32) {
        let reply = self.put("/limit", &format!(r#"{{"limit":{limit}}}"#));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    #[track_caller]
    pub(crate) fn wait_until_active(&self, active: u64) {
        wait_until(&format!("{active} connections are active"), || self.active() == active);
    }

    #[track_caller]
    pub(crate) fn wait_until_limit(&self, limit: u64) {
        wait_until(&format!("the limit is {limit}"), || self.limit() == limit);
    }

    // --- its log

    /// Everything that the server has logged since its last start.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line that contains `text`, anywhere in the log, and returns the first.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// Stops reading the log, as a hanging log reader does, or continues.
    pub(crate) fn pause_reading_its_log(&self, paused: bool) {
        self.log.pause(paused);
    }

    // --- its end

    /// Stops the server cleanly, and waits until it has ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Kills the server without a clean end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Starts it again on the same directories, on free ports. It must have been stopped or killed.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it is still running");
        let (child, log, ports) = self.setup.spawn(self.home.path());
        (self.child, self.log) = (child, log);
        (self.port, self.management_port) = ports;
    }

    /// As [`Self::start_again`], with another open-file limit.
    pub(crate) fn start_again_with_open_files(&mut self, limit: u32) {
        self.setup.open_files = Some(limit);
        self.start_again();
    }

    /// As [`Self::start_again`], with another limit on the command line, or none.
    pub(crate) fn start_again_with_limit(&mut self, limit: Option<u32>) {
        self.setup.limit = limit;
        self.start_again();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}

/// The built program, with `home` as its home and without variables of this process that affect it.
pub(crate) fn shibudb<'a>(home: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shibudb"));
    command.args(arguments);
    command.env_clear();
    command
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("XDG_STATE_HOME", home.join("state"));
    command
}

/// The same command, with an open-file limit.
fn limited(command: &Command, limit: u32) -> Command {
    by_way_of_a_shell(command, &format!("ulimit -n {limit}"))
}

/// The same command, with its standard error presented as a stream of the journal.
fn journaled(command: &Command) -> Command {
    by_way_of_a_shell(command, "export JOURNAL_STREAM=$(/usr/bin/stat -L -c %d:%i /proc/self/fd/2)")
}

fn by_way_of_a_shell(command: &Command, first: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{first} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

/// The standard error of a command, which must have failed with this status and an empty standard output.
#[track_caller]
pub(crate) fn refused(output: &Output, status: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*out), (Some(status), ""), "{err}");
    err.into_owned()
}

/// Reports in one line why a test is skipped. Panics where every test must run.
#[track_caller]
pub(crate) fn skipped(reason: &str) {
    let all = std::env::var_os("SHIBUDB_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!all, "not skipped under SHIBUDB_TEST_ALL=1: {reason}");
    // Not `eprintln!`: the test harness would capture its text.
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "skipped: {reason}").unwrap();
}

/// Raises the open-file limit of this process to `files`, and returns whether that worked. The servers it starts
/// inherit the limit.
pub(crate) fn can_open(files: u64) -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return true;
    }
    maximum.is_none_or(|maximum| maximum >= files)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).is_ok()
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < MAX_WAIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The port of the address that follows `words`.
fn port_after(line: &str, words: &str) -> u16 {
    let (_, rest) = line.split_once(words).unwrap();
    let address = rest.split([',', ' ']).next().unwrap();
    address.parse::<SocketAddr>().unwrap().port()
}
