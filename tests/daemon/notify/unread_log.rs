//! An unread log blocks nothing: a pipe whose reader has stopped, and a journal that is not read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::sandbox::{self, Sandbox};
use crate::harness::{Client, Log, MAX_WAIT, PASSWORD, Signal, http, shibudb, wait_until};

/// So many that a few lines about them exceed a pipe's buffer, and a few hundred exceed the server's queue.
const KEYS: usize = 300;

/// A server whose log the test reads on demand.
struct Unread {
    child: Child,
    log: BufReader<PipeReader>,
    port: u16,
    management_port: u16,
    home: TempDir,
}

impl Unread {
    /// Starts a server for a single client, and reads its log until it is ready and idle.
    fn start() -> Self {
        let (reader, writer) = pipe().unwrap();
        let (child, home) = spawn("# no settings\n", writer);
        let mut log = BufReader::new(reader);
        let (mut ports, mut line) = (None, String::new());
        while !line.contains("created the account admin") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server has ended");
            if let Some((_, rest)) = line.split_once("clients on 127.0.0.1:") {
                let (port, rest) = rest.split_once(", management on 127.0.0.1:").unwrap();
                let management = rest.split(',').next().unwrap();
                ports = Some((port.parse().unwrap(), management.parse().unwrap()));
            }
        }
        let (port, management_port) = ports.unwrap();
        Self { child, log, port, management_port, home }
    }

    /// Makes the server log more than the pipe and its queue hold.
    fn log_more_than_fits(&self) {
        // Unknown keys, each of which is in the message.
        let config: String = (0..KEYS).map(|number| format!("an_unknown_key_{number} = 1\n")).collect();
        fs::write(self.home.path().join("shibudb.toml"), config).unwrap();
        for _ in 0..400 {
            assert_eq!(http::request(self.management_port, "POST", "/reload", Some("")).status, 400);
        }
    }

    fn limit(&self) -> u64 {
        let reply = http::request(self.management_port, "GET", "/limit", None);
        reply.json()["current_limit"].as_u64().unwrap()
    }

    fn dropped(&self) -> f64 {
        let metrics = http::request(self.management_port, "GET", "/metrics", None).body;
        let value = metrics.lines().find_map(|line| line.strip_prefix("shibudb_log_lines_dropped_total "));
        value.unwrap_or_else(|| panic!("no such number in\n{metrics}")).parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn spawn(config: &str, log: impl Into<Stdio>) -> (Child, TempDir) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("shibudb.toml"), config).unwrap();
    let mut command = shibudb(home.path(), ["run", "0", "1", "--config"]);
    command.arg(home.path().join("shibudb.toml")).arg("--data-dir").arg(home.path().join("data"));
    command.env("SHIBUDB_ADMIN_PASSWORD", PASSWORD);
    (command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap(), home)
}

fn end(child: &mut Child) {
    // The process may have ended already.
    child.kill().ok();
    child.wait().ok();
}

#[track_caller]
fn exit_code(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("the server has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

#[test]
fn everybody_is_served_and_what_was_dropped_is_told_when_the_log_is_read_again() {
    let mut server = Unread::start();
    let mut client = Client::connect(([127, 0, 0, 1], server.port).into());
    client.login("admin", PASSWORD);
    assert_eq!(server.dropped(), 0.0);
    server.log_more_than_fits();
    let dropped = server.dropped();
    assert!(dropped > 0.0);

    let space = json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"});
    client.expect_ok(&space, "SPACE_CREATED");
    client.expect_ok(&json!({"type": "PUT", "space": "s", "key": "k", "value": "v"}), "OK");
    // The thread that serves the other client logs this rejection.
    let mut rejected = Client::connect(([127, 0, 0, 1], server.port).into());
    assert!(rejected.line().unwrap().contains("maximum capacity"));
    assert_eq!(client.ask(&json!({"type": "GET", "space": "s", "key": "k"}))["value"], "v");
    server.signal(Signal::USR1);
    wait_until("the signal is applied", || server.limit() == 101);

    let (reader, _) = pipe().unwrap();
    let log = Log::of(std::mem::replace(&mut server.log, BufReader::new(reader)));
    let line = log.wait_for("log lines were dropped");
    let (_, words) = line.split_once("WARN ").unwrap();
    let told: f64 = words.split(' ').next().unwrap().parse().unwrap();
    assert!(told >= dropped && told <= server.dropped(), "{line}");
    // The server continues as usual.
    server.signal(Signal::USR1);
    log.wait_for("connection limit changed from 101 to 201");
}

#[test]
fn a_server_ends_in_good_order_though_nobody_reads_why() {
    let mut server = Unread::start();
    server.log_more_than_fits();
    server.signal(Signal::TERM);
    assert_eq!(exit_code(&mut server.child), Some(0));

    let mut server = Unread::start();
    let mut client = Client::connect(([127, 0, 0, 1], server.port).into());
    // Half a request: a drain would wait for the rest.
    client.login("admin", PASSWORD);
    server.log_more_than_fits();
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    assert_eq!(exit_code(&mut server.child), Some(0));
}

/// A full pipe. With `waits`, writes to it block.
fn full_pipe(waits: bool) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    if waits {
        fcntl_setfl(&writer, flags).unwrap();
    }
    (reader, writer)
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    for waits in [true, false] {
        let (_reader, writer) = full_pipe(waits);
        let (mut child, _home) = spawn("nonsense = 1\n", writer);
        assert_eq!(exit_code(&mut child), Some(78));
    }
}

#[test]
fn a_pipe_that_somebody_made_non_blocking_gets_every_line_once_it_is_read() {
    let (reader, writer) = full_pipe(false);
    let flags = writer.try_clone().unwrap();
    let (mut child, _home) = spawn("# no settings\n", writer);
    // The server has started, and cannot have written a line.
    std::thread::sleep(Duration::from_millis(300));
    let log = Log::of(reader);
    log.wait_for("ready: ");
    assert!(fcntl_getfl(&flags).unwrap().contains(OFlags::NONBLOCK), "it is not the server's to change");
    drop(flags);
    end(&mut child);

    let (reader, writer) = full_pipe(false);
    let (mut child, _home) = spawn("nonsense = 1\n", writer);
    Log::of(reader).wait_for("Error: ");
    assert_eq!(exit_code(&mut child), Some(78));
}

/// The socket of journald. The sandbox has no journald.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Starts a server whose standard error looks like the journal's stream.
fn start_with_journal(sandbox: &Sandbox) -> Child {
    let stderr = File::create(sandbox.home().join("stderr")).unwrap();
    let stat = stderr.metadata().unwrap();
    let mut command: Command = sandbox.program(env!("CARGO_BIN_EXE_shibudb").as_ref());
    command.args(["run", "9090"]).env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    let child = command.stderr(stderr).spawn().unwrap();
    wait_until("it is ready", || std::net::TcpStream::connect(("127.0.0.1", 10090)).is_ok());
    child
}

/// The fields of an entry of the journal.
fn fields(entry: &[u8]) -> HashMap<String, String> {
    let (mut fields, mut rest) = (HashMap::new(), entry);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // Either NAME=value, or the name, the length of the value, and the value.
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'=') {
        let name = text(&rest[..end]);
        let (value, next) = if rest[end] == b'=' {
            let value = &rest[end + 1..];
            value.split_at(value.iter().position(|&byte| byte == b'\n').unwrap())
        } else {
            let (length, value) = rest[end + 1..].split_first_chunk().unwrap();
            value.split_at(u64::from_le_bytes(*length).try_into().unwrap())
        };
        fields.insert(name, text(value));
        rest = next.strip_prefix(b"\n").unwrap();
    }
    fields
}

#[test]
fn a_journal_that_is_not_read_holds_nobody_up_and_gets_every_field_later() {
    sandbox::enter(|sandbox| {
        fs::create_dir_all("/run/systemd/journal").unwrap();
        let journal = UnixDatagram::bind(JOURNAL).unwrap();
        journal.set_read_timeout(Some(MAX_WAIT)).unwrap();
        let mut child = start_with_journal(sandbox);
        // The kernel keeps ten entries.
        for limit in 1001..1060 {
            let body = format!(r#"{{"limit":{limit}}}"#);
            assert_eq!(http::request(10090, "PUT", "/limit", Some(&body)).status, 200);
        }
        kill_process(Pid::from_child(&child), Signal::USR1).unwrap();
        wait_until("the signal is applied", || {
            http::request(10090, "GET", "/limit", None).json()["current_limit"] == 1159
        });

        let mut buffer = [0; 1 << 16];
        let mut read = || {
            let length = journal.recv(&mut buffer).unwrap();
            fields(&buffer[..length])
        };
        let entry = std::iter::repeat_with(&mut read)
            .find(|entry| entry.get("SHIBUDB_DOOR").is_some_and(|door| door == "signal"))
            .unwrap();
        let expected = [
            ("MESSAGE_ID", "734c51646dca44dcb77eecd0a75cde3c"),
            ("PRIORITY", "5"),
            ("TARGET", "shibudb::limit::changed"),
            ("SYSLOG_IDENTIFIER", "shibudb"),
            ("SHIBUDB_OLD", "1059"),
            ("SHIBUDB_NEW", "1159"),
            ("SHIBUDB_OUTCOME", "applied"),
        ];
        for (name, value) in expected {
            assert_eq!(entry.get(name).map(String::as_str), Some(value), "{name} of {entry:?}");
        }
        // `journalctl` shows only the sentence, so the sentence must name the actor and the door.
        let actor = &entry["SHIBUDB_ACTOR"];
        assert!(actor.starts_with("pid "), "{entry:?}");
        let sentence = format!("connection limit changed from 1059 to 1159 by {actor} through signal");
        assert_eq!(entry["MESSAGE"], sentence);
        assert!(entry.contains_key("CODE_FILE") && entry.contains_key("CODE_LINE"), "{entry:?}");

        for _ in 0..30 {
            assert_eq!(http::request(10090, "PUT", "/limit", Some(r#"{"limit":7}"#)).status, 200);
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(exit_code(&mut child), Some(0));
    });
}

#[test]
fn a_journal_that_is_not_read_does_not_hold_up_the_start() {
    sandbox::enter(|sandbox| {
        fs::create_dir_all("/run/systemd/journal").unwrap();
        let _journal = UnixDatagram::bind(JOURNAL).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"MESSAGE=more\n", JOURNAL).is_ok() {}
        let mut child = start_with_journal(sandbox);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(exit_code(&mut child), Some(0));
    });
}
