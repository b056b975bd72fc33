//! A booted machine: Debian under its own systemd, removed without a trace when the value is dropped.
//!
//! It is a systemd-nspawn container on a temporary overlay, with its own network, process table and
//! control group. It boots within a second, so every test has a separate one, and tests are independent
//! of each other. Commands run in it through nsenter; the test itself opens sockets in its network.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::cgroup::Cgroup;
use crate::image::Image;

/// Where a machine finds the package under test.
const PACKAGE: &str = "/opt/shibudb.deb";

/// The time limit for booting or ending on a busy computer.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A running machine.
pub(crate) struct Machine {
    name: String,
    nspawn: Child,
    /// The process id, outside, of the machine's process 1.
    leader: i32,
    console: PathBuf,
    /// Dropped after the processes in it are gone.
    _cgroup: Cgroup,
}

/// The outcome of a command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit status, or none after a signal.
    pub(crate) status: Option<i32>,
    /// Standard output, without blanks around it.
    pub(crate) stdout: String,
    /// Standard error, without blanks around it.
    pub(crate) stderr: String,
}

impl Machine {
    /// A machine with nothing but Debian on it. The package lies at `/opt/shibudb.deb`.
    pub(crate) fn boot() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let image = Image::get();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("shibudb-test-{}-{number}", process::id());
        let console = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("systemd/console-{number}.log"));
        let output = File::create(&console).unwrap();
        let cgroup = Cgroup::new(number).unwrap();

        // If this process is killed, nspawn gets a signal to shut the machine down.
        let script = format!("{} exec setpriv --pdeathsig TERM systemd-nspawn \"$@\"", cgroup.enter_script());
        let nspawn = Command::new("sh")
            .args(["-c", &script, "sh", "--quiet", "--boot", "--console=pipe"])
            .args(["--private-network", "--register=no", "--keep-unit", "--volatile=overlay"])
            .arg(format!("--machine={name}"))
            .arg(format!("--directory={}", image.root.display()))
            .arg(format!("--bind-ro={}:{PACKAGE}", image.package.display()))
            // The root is shared and read-only, so machines need not lock it.
            .env("SYSTEMD_NSPAWN_LOCK", "0")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();

        let mut machine = Self { name, nspawn, leader: 0, console, _cgroup: cgroup };
        machine.leader = eventually("the machine has a process 1", || {
            assert!(machine.nspawn.try_wait().unwrap().is_none(), "systemd-nspawn gave up");
            children(machine.nspawn.id()).into_iter().find(|&child| is_first_process(child))
        });
        eventually("the machine is up", || {
            (machine.run("systemctl is-system-running").stdout == "running").then_some(())
        });
        machine
    }

    /// A machine on which the package has just been installed.
    pub(crate) fn with_shibudb() -> Self {
        let machine = Self::boot();
        machine.sh(&format!("dpkg --install {PACKAGE}"));
        machine
    }

    /// Runs a shell script as root, for a minute at most, and returns its outcome.
    pub(crate) fn run(&self, script: &str) -> Outcome {
        let output = Command::new("nsenter")
            .args(["--all", &format!("--target={}", self.leader), "--"])
            .args(["/usr/bin/env", "--ignore-environment", "--chdir=/", "LANG=C.UTF-8", "HOME=/root"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["timeout", "--kill-after=1", "60", "sh", "-euc", script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        Outcome { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs a shell script that must succeed, and returns its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        let outcome = self.run(script);
        assert_eq!(outcome.status, Some(0), "`{script}` failed: {outcome:#?}");
        outcome.stdout
    }

    /// One property of the service, as `systemctl show` prints it.
    pub(crate) fn property(&self, name: &str) -> String {
        self.property_of("shibudb.service", name)
    }

    /// One property of a unit.
    pub(crate) fn property_of(&self, unit: &str, name: &str) -> String {
        self.sh(&format!("systemctl show {unit} --property={name} --value"))
    }

    /// The log of the service, and systemd's messages about it, since the boot.
    pub(crate) fn journal(&self) -> String {
        self.sh("journalctl --sync && journalctl --unit=shibudb.service --no-pager")
    }

    /// Changes the unit for this machine, as `systemctl edit` would. Takes effect with a restart.
    pub(crate) fn drop_in(&self, settings: &str) {
        let dir = "/etc/systemd/system/shibudb.service.d";
        self.sh(&format!(
            "mkdir -p {dir} && cat >{dir}/test.conf <<'END' && systemctl daemon-reload\n{settings}\nEND"
        ));
    }

    /// Connects to a port of the machine.
    pub(crate) fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect(("127.0.0.1", port)))
    }

    /// Whether a client can log in with these.
    pub(crate) fn login(&self, username: &str, password: &str) -> bool {
        self.converse(&[json!({"username": username, "password": password})])[0]["status"] == "OK"
    }

    /// One client: its requests, one after the other, and the answers.
    pub(crate) fn converse(&self, requests: &[Value]) -> Vec<Value> {
        let mut client = BufReader::new(self.connect(9090).unwrap());
        client.get_ref().set_read_timeout(Some(MAX_WAIT)).unwrap();
        let answer = |request: &Value| {
            writeln!(client.get_mut(), "{request}").unwrap();
            let mut answer = String::new();
            client.read_line(&mut answer).unwrap();
            serde_json::from_str(&answer).unwrap()
        };
        requests.iter().map(answer).collect()
    }

    /// Does `work` in the machine's network. Sockets opened there stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.leader)).unwrap();
        // A network namespace is changed per thread and permanently, so this uses a separate thread.
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            worker.join().unwrap()
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = if self.leader == 0 {
                fs::read_to_string(&self.console).unwrap_or_default()
            } else {
                self.run("journalctl --no-pager --lines=60").stdout
            };
            eprintln!("--- the last of the machine's log:\n{log}\n---");
        }
        // With process 1 the kernel ends everything in the machine, and then nspawn ends, too.
        for child in children(self.nspawn.id()).into_iter().filter_map(Pid::from_raw) {
            rustix::process::kill_process(child, Signal::KILL).ok();
        }
        let deadline = Instant::now() + MAX_WAIT;
        while !matches!(self.nspawn.try_wait(), Ok(Some(_))) {
            if Instant::now() > deadline {
                self.nspawn.kill().ok();
            }
            thread::sleep(Duration::from_millis(10));
        }
        fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(&self.name)).ok();
    }
}

/// Waits until `probe` has an answer. Panics if it has none within [`MAX_WAIT`].
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + MAX_WAIT;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The children of a process; none if it has gone.
fn children(pid: u32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process is number 1 in a process table of its own.
fn is_first_process(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("NSpid:") && line.split_whitespace().skip(2).last() == Some("1"))
}
