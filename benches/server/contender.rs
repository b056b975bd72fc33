//! The measured servers: this program, redis, and bare loops. Each is a process of its own, on a free port, with its
//! data in a directory of its own under target/, and ends when its value is dropped.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::bare;
use crate::crowd;

pub(crate) const PASSWORD: &str = "benchmark";

/// The login line of the account that every server here has.
pub(crate) const LOGIN: &[u8] = b"{\"username\":\"admin\",\"password\":\"benchmark\"}\n";

/// How long a server may take to start, or to end in good order.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// A running server.
pub(crate) struct Contender {
    child: Child,
    clients: u16,
    management: u16,
    home: TempDir,
}

/// The settings that this program is started with.
#[derive(Debug, Clone)]
pub(crate) struct Shibudb {
    /// `"always"` or `"1s"`.
    pub(crate) durability: &'static str,
    pub(crate) limit: usize,
    /// Lines of the table `[client]`.
    pub(crate) client: &'static str,
}

/// The settings that redis is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redis {
    /// `"always"` or `"everysec"`.
    pub(crate) appendfsync: &'static str,
    pub(crate) limit: usize,
}

impl Default for Shibudb {
    fn default() -> Self {
        // Silent connections must stay for as long as they are measured.
        Self { durability: "always", limit: 1000, client: "login_timeout = \"1h\"\n" }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self { appendfsync: "always", limit: 1000 }
    }
}

impl Shibudb {
    pub(crate) fn start(&self) -> Result<Contender> {
        self.start_in(home()?)
    }

    /// Starts it on an earlier one's data.
    pub(crate) fn start_in(&self, home: TempDir) -> Result<Contender> {
        let mut contender =
            self.spawn(home, free_port()?, free_port()?, &mut tied(env!("CARGO_BIN_EXE_shibudb"))?)?;
        contender.wait_for(contender.clients)?;
        contender.wait_for(contender.management)?;
        // It listens before it is ready, and its work until then must not be measured.
        crowd::first_answer(contender.address(), b"x\n")?;
        Ok(contender)
    }

    /// Starts it, and returns at once.
    pub(crate) fn spawn_in(&self, home: TempDir, clients: u16, management: u16) -> Result<Contender> {
        self.spawn(home, clients, management, &mut Command::new(env!("CARGO_BIN_EXE_shibudb")))
    }

    fn spawn(
        &self,
        home: TempDir,
        clients: u16,
        management: u16,
        command: &mut Command,
    ) -> Result<Contender> {
        let config = home.path().join("shibudb.toml");
        let Self { durability, client, .. } = self;
        fs::write(
            &config,
            format!(
                "[management]\nport = {management}\n[client]\n{client}\
                 [storage]\ndurability = \"{durability}\"\n[log]\nlevel = \"warn\"\n"
            ),
        )?;
        command.args(["run", &clients.to_string(), &self.limit.to_string(), "--config"]);
        command.arg(config).arg("--data-dir").arg(home.path().join("data")).env_clear();
        command.env("HOME", home.path()).env("SHIBUDB_ADMIN_PASSWORD", PASSWORD);
        command.stderr(fs::File::options().create(true).append(true).open(home.path().join("log"))?);
        let child = quiet(command).spawn().context("cannot start shibudb")?;
        Ok(Contender { child, clients, management, home })
    }
}

impl Redis {
    /// Whether redis is installed. Prints once if it is not.
    pub(crate) fn installed() -> bool {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        *INSTALLED.get_or_init(|| {
            let found = find("redis-server").is_some() && find("redis-cli").is_some();
            if !found {
                eprintln!("redis-server and redis-cli are not installed: measured without them.");
            }
            found
        })
    }

    pub(crate) fn start(self) -> Result<Contender> {
        let mut contender = self.spawn(home()?, free_port()?, &mut tied("redis-server")?)?;
        contender.wait_for(contender.clients)?;
        crowd::first_answer(contender.address(), b"PING\r\n")?;
        Ok(contender)
    }

    /// Starts it, and returns at once.
    pub(crate) fn spawn_in(self, home: TempDir, port: u16) -> Result<Contender> {
        self.spawn(home, port, &mut Command::new("redis-server"))
    }

    fn spawn(self, home: TempDir, port: u16, command: &mut Command) -> Result<Contender> {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        // The clients come from other addresses of this host, which redis would treat as other hosts.
        command.args(["--protected-mode", "no"]);
        command.args(["--appendonly", "yes", "--appendfsync", self.appendfsync]);
        command.args(["--maxclients", &self.limit.to_string(), "--dir"]).arg(home.path());
        command.stderr(Stdio::null());
        let child = quiet(command).spawn().context("cannot start redis-server")?;
        Ok(Contender { child, clients: port, management: port, home })
    }
}

/// A server that is killed if this process ends without ending it. Only the start time is measured without this.
fn tied(program: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["tied", program]);
    Ok(command)
}

/// Becomes `program`, and is killed when the process that started it ends.
pub(crate) fn become_tied(program: &[OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let [program, arguments @ ..] = program else { bail!("there is no program to become") };
    Err(Command::new(program).args(arguments).exec().into())
}

/// Starts a bare loop: this program again, in another role.
pub(crate) fn start_bare(kind: bare::Kind) -> Result<Contender> {
    let home = home()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(kind.name()).current_dir(home.path()).stderr(Stdio::inherit());
    let mut child = quiet(&mut command).stdout(Stdio::piped()).spawn().context("cannot start a bare loop")?;
    let mut line = String::new();
    let told = BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line);
    // From here on it ends when its value is dropped, whatever it has printed.
    let mut contender = Contender { child, clients: 0, management: 0, home };
    told?;
    contender.clients = line.trim().parse().context("the bare loop did not name its port")?;
    contender.management = contender.clients;
    Ok(contender)
}

impl Contender {
    pub(crate) fn address(&self) -> SocketAddr {
        local(self.clients)
    }

    pub(crate) fn management(&self) -> SocketAddr {
        local(self.management)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.clients
    }

    /// Ends it in good order, and returns its directory.
    pub(crate) fn stop(mut self) -> Result<TempDir> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begin.elapsed() < MAX_WAIT, "the server did not end within {MAX_WAIT:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        let next = tempfile::tempdir_in(place())?;
        Ok(std::mem::replace(&mut self.home, next))
    }

    /// Waits until something listens on one of its ports.
    fn wait_for(&mut self, port: u16) -> Result<()> {
        let begin = Instant::now();
        while std::net::TcpStream::connect(local(port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once, with {status}: {}", self.log());
            }
            ensure!(begin.elapsed() < MAX_WAIT, "the server did not listen within {MAX_WAIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A new directory on the file system that the program was built on: /tmp may be memory.
pub(crate) fn home() -> Result<TempDir> {
    tempfile::tempdir_in(place()).context("cannot make a directory for a server's data")
}

fn place() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A port without a listener.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(local(0))?.local_addr()?.port())
}

/// The path of a program that is in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}
