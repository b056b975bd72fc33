//! `shibudb start`: the same `run`, in the background, and word of it when it is ready.
//!
//! The child is given a notification socket and says on it what it would say to systemd: READY=1,
//! or why not. So there is one notion of ready, and a failure is reported in the child's own words, as is
//! what it is at if that takes its time.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::progress::Progress;
use super::{EXIT_FAILED, Failure, StartArgs, failed, say};
use crate::daemon::{self, Running, pid_file_path, runtime_dirs};
use crate::systemd;

/// How often we look whether the child is still there while we wait for its word.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn start(args: &StartArgs) -> Result<(), Failure> {
    let runtime_dirs = runtime_dirs().map_err(failed)?;
    for dir in &runtime_dirs {
        let pid_file = pid_file_path(dir, args.port);
        let unreadable = |error| failed(format!("cannot read {}: {error}", pid_file.display()));
        if let Some(running) = Running::find(&pid_file).map_err(unreadable)? {
            return Err(failed(format!(
                "shibudb is already running on port {} (PID {}); `shibudb stop {}` ends it",
                args.port, running.pid, args.port
            )));
        }
    }
    let runtime_dir = &runtime_dirs[0];
    fs::create_dir_all(runtime_dir)
        .map_err(|error| failed(format!("cannot create {}: {error}", runtime_dir.display())))?;
    let pid_file = pid_file_path(runtime_dir, args.port);
    let data_dir = daemon::data_dir_for(args.files.config.as_deref(), args.files.data_dir.as_deref())
        .map_err(|error| Failure { status: error.status(), message: error.to_string() })?;
    daemon::make_private_dir(&data_dir).map_err(failed)?;
    let log_file = data_dir.join("shibudb.log");
    let log = OpenOptions::new().append(true).create(true).open(&log_file);
    let log = log.map_err(|error| failed(format!("cannot write {}: {error}", log_file.display())))?;

    let socket_dir = tempfile::tempdir().map_err(failed)?;
    let socket_path = socket_dir.path().join("notify");
    let socket = UnixDatagram::bind(&socket_path).map_err(failed)?;
    socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
    let mut child = spawn(args, &data_dir, &pid_file, &socket_path, log).map_err(failed)?;
    let facts = wait_until_ready(&socket, &mut child).map_err(failed)?;
    match facts {
        Said::Ready(facts) => {
            let fact = |name: &str| facts.get(name).map_or("unknown", String::as_str);
            say(format_args!(
                "shibudb is running: port {}, management port {}, limit {}, PID {}, log {}",
                fact(systemd::PORT),
                fact(systemd::MANAGEMENT_PORT),
                fact(systemd::LIMIT),
                child.id(),
                log_file.display()
            ));
            Ok(())
        }
        Said::Failed { reason, status } => {
            let message = reason.unwrap_or_else(|| {
                format!("the server ended before it was ready; its log is {}", log_file.display())
            });
            Err(Failure { message, status })
        }
    }
}

/// What became of the child.
enum Said {
    Ready(HashMap<String, String>),
    Failed { reason: Option<String>, status: u8 },
}

fn spawn(args: &StartArgs, data_dir: &Path, pid_file: &Path, notify: &Path, log: File) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg(args.port.to_string());
    command.args(args.max_connections.map(|limit| limit.to_string()));
    if let Some(config) = &args.files.config {
        command.arg("--config").arg(std::path::absolute(config)?);
    }
    command.arg("--data-dir").arg(std::path::absolute(data_dir)?);
    command.arg("--pid-file").arg(pid_file);
    command.env("NOTIFY_SOCKET", notify);
    // It outlives this directory and this terminal.
    command.current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn()
}

fn wait_until_ready(socket: &UnixDatagram, child: &mut Child) -> io::Result<Said> {
    let mut facts = HashMap::new();
    let mut buffer = [0; 4096];
    let mut progress = Progress::new(None, "{spinner} {msg}");
    loop {
        // What it said before it ended is still in the socket, so look at the socket last.
        let ended = child.try_wait()?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                for line in String::from_utf8_lossy(&buffer[..length]).lines() {
                    if let Some((name, value)) = line.split_once('=') {
                        facts.insert(name.to_owned(), value.to_owned());
                    }
                }
                if facts.contains_key("READY") {
                    return Ok(Said::Ready(facts));
                }
                // Of a failure too, which is not progress.
                if let Some(status) = facts.get("STATUS")
                    && !facts.contains_key(systemd::ERROR)
                {
                    progress.tell(status, |_| status.clone());
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                if let Some(ended) = ended {
                    // One that was stopped before it was ready has ended well, and is not there all the same.
                    let status = ended.code().and_then(|code| u8::try_from(code).ok());
                    let status = status.filter(|&status| status != 0).unwrap_or(EXIT_FAILED);
                    return Ok(Said::Failed { reason: facts.remove(systemd::ERROR), status });
                }
            }
            Err(error) => return Err(error),
        }
    }
}
