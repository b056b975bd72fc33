//! `shibudb start`: runs the same `run` in the background, and reports when it is ready.
//!
//! The child gets a notification socket and sends what it would send to systemd: READY=1,
//! or the reason for a failure. So there is one definition of ready, and failures are reported in the child's own
//! words, as is its progress during a long start.
//!
//! The child gets as little as possible of the caller's environment: none of its open files, nothing that a supervisor
//! has told the caller, and its own directory, session and umask. An interrupt before the child is ready stops the
//! child: no unannounced server is left behind.
//!
//! The file is long because both sides of the start are here: what the child gets, and what it reports.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use super::colours::warning;
use super::progress::Progress;
use super::{EXIT_FAILED, Failure, StartArgs, admin_password, failed, say, tell};
use crate::daemon::{self, FindError, RunError, Running, pid_file_path, runtime_dirs};
use crate::names::shown;
use crate::owner::{self, Foreign};
use crate::private;
use crate::signals::{Endings, Held};
use crate::systemd;

/// How often the progress is redrawn while nothing happens.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// Variables by which a supervisor addresses the process it has started: the caller, not the server.
const OF_THE_CALLER: [&str; 10] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "JOURNAL_STREAM",
    "RUNTIME_DIRECTORY",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
];

/// The part of root's environment that a server running as another user gets, besides `LC_*`: that user can read all
/// of it in `/proc`, and the rest may contain secrets.
const FOR_OTHERS: [&str; 4] = ["PATH", "LANG", "TZ", "RUST_BACKTRACE"];

/// The longest path of a Unix socket, in bytes.
const LONGEST_SOCKET: usize = 107;

pub(super) fn start(args: &StartArgs, held: &Held) -> Result<(), Failure> {
    let endings = held.endings().map_err(failed)?;
    refuse_twice(args.port)?;
    let data_dir = daemon::data_dir_for(args.files.config.as_deref(), args.files.data_dir.as_deref())
        .map_err(|error| Failure { status: error.status(), message: error.to_string() })?;
    let found_itself = data_dir.is_absolute();
    let data_dir = std::path::absolute(&data_dir).map_err(failed)?;
    let owner = match owner::beside_root(&data_dir) {
        None => None,
        Some(found) => {
            become_owner(&found, &data_dir)?;
            refuse_twice(args.port)?;
            Some(found.owner)
        }
    };
    daemon::make_private_dir(&data_dir).map_err(failed)?;
    let log_file = data_dir.join("shibudb.log");
    let log = private::open(&log_file, private::options().append(true).create(true));
    let log =
        log.map_err(|error| failed(RunError::cannot("write", &log_file, error).blame_owner(&data_dir)))?;

    let (runtime_dir, socket_dir) = runtime_dir(&runtime_dirs().map_err(failed)?)?;
    let socket = NotifySocket::bind(socket_dir).map_err(|error| {
        failed(format!("cannot create the readiness socket in {}: {error}", runtime_dir.display()))
    })?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(&program);
    if let Some(owner) = &owner {
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_for_others(name)));
        command.env("USER", &owner.name).env("LOGNAME", &owner.name);
        command.env("HOME", owner.home().unwrap_or_else(|| "/".into()));
    }
    command.arg("run");
    if let Some(password) = admin_password::of_environment() {
        admin_password::hand_over(&mut command, &password)?;
    } else {
        command.stdin(Stdio::null());
    }
    command.arg(args.port.to_string());
    command.args(args.max_connections.map(|limit| limit.to_string()));
    if let Some(config) = &args.files.config {
        command.arg("--config").arg(std::path::absolute(config).map_err(failed)?);
    }
    command.arg("--pid-file").arg(pid_file_path(&runtime_dir, args.port));
    command.arg("--log-file").arg(&log_file);
    OF_THE_CALLER.iter().for_each(|variable| {
        command.env_remove(variable);
    });
    // `config` tells whether one was named. If not, and the server would look elsewhere, the usual directory is passed
    // the way a supervisor does, where a colon would end the name.
    let is_prepared = !data_dir.as_os_str().as_encoded_bytes().contains(&b':');
    match args.files.data_dir {
        None if owner.is_none() && found_itself => {}
        None if is_prepared => {
            command.env("STATE_DIRECTORY", &data_dir);
        }
        _ => {
            command.arg("--data-dir").arg(&data_dir);
        }
    }
    command.env("NOTIFY_SOCKET", &socket.address);
    // It outlives this directory and this terminal.
    command.current_dir("/");
    command.stdout(Stdio::null()).stderr(log);
    // Nor may it keep the caller's descriptors: a lock would be held for as long as the server runs.
    close_fds::set_fds_cloexec(3, &[]);
    let child = command.spawn().map_err(|error| {
        let user = owner.as_ref().map_or(String::new(), |owner| format!(" as the user {}", owner.name));
        failed(format!("cannot start the server: cannot run {}{user}: {error}", program.display()))
    })?;
    let mut begun = Begun::new(child).map_err(failed)?;
    let said = wait_until_ready(&socket.socket, &mut begun, &endings);
    // A server that cannot be waited for must not go on unannounced.
    let said = said.inspect_err(|_| {
        begun.ask_to_stop(false).ok();
    });
    match said.map_err(failed)? {
        Said::Ready(facts) => {
            let fact = |name: &str| facts.get(name).map_or("unknown", String::as_str);
            say(format_args!(
                "shibudb is running: port {}, management port {}, limit {}, PID {}, log {}",
                fact(systemd::PORT),
                fact(systemd::MANAGEMENT_PORT),
                fact(systemd::LIMIT),
                begun.child.id(),
                log_file.display()
            ));
            if let Some(why) = facts.get(systemd::OTHER_LIMIT) {
                say(format_args!("The limit is {}: {}", fact(systemd::LIMIT), shown(why)));
            }
            Ok(())
        }
        Said::Failed { reason, status } => {
            let message = reason.unwrap_or_else(|| {
                format!("the server exited before it was ready; see its log {}", log_file.display())
            });
            Err(Failure { message, status })
        }
        Said::Stopped => Err(failed("interrupted; the server was stopped before it was ready")),
        Said::LeftBehind => Err(failed(format!(
            "interrupted; the server (PID {}) was told to exit at once but is still running; see its log {}",
            begun.child.id(),
            log_file.display()
        ))),
    }
}

/// Refuses a second server on the port, among those that this user has started. Directories of other users may
/// contain anything.
fn refuse_twice(port: u16) -> Result<(), Failure> {
    for dir in &runtime_dirs().map_err(failed)? {
        match Running::find(&pid_file_path(dir, port)) {
            Ok(None) => {}
            Ok(Some(running)) => {
                return Err(failed(format!(
                    "shibudb is already running on port {port} (PID {}); `shibudb stop {port}` stops it",
                    running.pid
                )));
            }
            // This user has not used a directory that it cannot read.
            Err(FindError::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn is_for_others(variable: &OsStr) -> bool {
    FOR_OTHERS.iter().any(|known| variable == *known) || variable.as_encoded_bytes().starts_with(b"LC_")
}

/// Switches to the owner of the data directory: files of root's in it would keep that user's server from starting.
fn become_owner(Foreign { path, owner }: &Foreign, data_dir: &Path) -> Result<(), Failure> {
    if let Err(error) = daemon::make_users_runtime_dir(owner.uid) {
        // Other directories remain, where `stop` finds the server only when run as that user.
        let command = shell_words::join(["sudo", "-u", &owner.name, "shibudb", "stop"]);
        tell(warning(format!(
            "cannot create the directory where root looks for the PID file: {error}; stop the server with `{command}`"
        )));
    }
    owner.become_it().map_err(|error| {
        failed(format!(
            "{} belongs to user {}, and this process cannot switch to that user: {error}; run {}",
            path.display(),
            owner.name,
            owner.command(data_dir)
        ))
    })?;
    tell(format_args!("{} belongs to user {}; the server runs as that user", path.display(), owner.name));
    Ok(())
}

/// The first usable directory, and one in it for this start.
fn runtime_dir(candidates: &[PathBuf]) -> Result<(PathBuf, TempDir), Failure> {
    let mut problems = Vec::new();
    for dir in candidates {
        match daemon::make_runtime_dir(dir) {
            Ok(socket_dir) => return Ok((dir.clone(), socket_dir)),
            Err(error) => problems.push(format!("{} ({error})", dir.display())),
        }
    }
    Err(failed(format!(
        "no usable directory for the PID file; tried {}; `shibudb run` needs none",
        problems.join(", ")
    )))
}

/// Where the child reports its state. The socket is removed with its directory.
struct NotifySocket {
    socket: UnixDatagram,
    address: PathBuf,
    _dir: TempDir,
    /// Keeps a directory with a long name within reach.
    _handle: Option<OwnedFd>,
}

impl NotifySocket {
    fn bind(dir: TempDir) -> io::Result<Self> {
        const NAME: &str = "notify";
        let path = dir.path().join(NAME);
        if path.as_os_str().len() <= LONGEST_SOCKET {
            return Ok(Self { socket: UnixDatagram::bind(&path)?, address: path, _dir: dir, _handle: None });
        }
        // The path of a socket may be much shorter than that of a directory. This leads to the same directory.
        let handle = openat(CWD, dir.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&handle);
        let address = format!("/proc/{}/fd/{number}/{NAME}", std::process::id()).into();
        Ok(Self { socket: UnixDatagram::bind(&address)?, address, _dir: dir, _handle: Some(handle) })
    }
}

/// The starting server.
struct Begun {
    child: Child,
    process: OwnedFd,
}

/// The result of a start.
enum Said {
    Ready(HashMap<String, String>),
    Failed {
        reason: Option<String>,
        status: u8,
    },
    /// The wait was interrupted, and the child has ended.
    Stopped,
    /// The wait was interrupted, and the child may still run.
    LeftBehind,
}

impl Begun {
    fn new(mut child: Child) -> io::Result<Self> {
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(process) => Ok(Self { child, process }),
            Err(error) => {
                child.kill()?;
                Err(error.into())
            }
        }
    }

    /// Sends another signal the second time, since the kernel merges two of a kind that come close together.
    fn ask_to_stop(&self, again: bool) -> io::Result<()> {
        match pidfd_send_signal(&self.process, if again { Signal::INT } else { Signal::TERM }) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn wait_until_ready(socket: &UnixDatagram, begun: &mut Begun, endings: &Endings) -> io::Result<Said> {
    socket.set_nonblocking(true)?;
    let mut facts = HashMap::new();
    let mut progress = Progress::new(None, "{spinner} {msg}");
    let mut interrupted = false;
    loop {
        {
            let fds: [&dyn AsFd; 3] = [socket, endings, &begun.process];
            let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            match poll(&mut fds, Some(&TICK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Messages sent before the end are still in the socket, so read the socket last.
        let ended = begun.child.try_wait()?;
        hear(socket, &mut facts)?;
        if facts.contains_key("READY") && !interrupted {
            return Ok(Said::Ready(facts));
        }
        if let Some(ended) = ended {
            return Ok(if interrupted { Said::Stopped } else { failure(&mut facts, ended) });
        }
        // A failure sends one too, but it is not progress.
        if let Some(status) = facts.get("STATUS")
            && !facts.contains_key(systemd::ERROR)
        {
            progress.tell(status, |_| status.clone());
        }
        if endings.asked() {
            begun.ask_to_stop(interrupted)?;
            if interrupted {
                return Ok(Said::LeftBehind);
            }
            interrupted = true;
            tell(format_args!(
                "Interrupted: stopping the server (PID {}); interrupt again to stop waiting for it",
                begun.child.id()
            ));
        }
    }
}

/// Reads what the child has sent so far.
fn hear(socket: &UnixDatagram, facts: &mut HashMap<String, String>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let pairs = text.lines().filter_map(|line| line.split_once('='));
                facts.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn failure(facts: &mut HashMap<String, String>, ended: ExitStatus) -> Said {
    // A child stopped before it was ready exits successfully, and is not running all the same.
    let status = ended.code().and_then(|code| u8::try_from(code).ok());
    let status = status.filter(|&status| status != 0).unwrap_or(EXIT_FAILED);
    Said::Failed { reason: facts.remove(systemd::ERROR), status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_root_are_nothing_for_the_server_of_another_user() {
        for kept in ["PATH", "LANG", "LC_ALL", "TZ", "RUST_BACKTRACE"] {
            assert!(is_for_others(OsStr::new(kept)), "{kept}");
        }
        for left in ["AWS_SECRET_ACCESS_KEY", "HOME", "XDG_STATE_HOME", "PATHS", "CREDENTIALS_DIRECTORY"] {
            assert!(!is_for_others(OsStr::new(left)), "{left}");
        }
    }
}
