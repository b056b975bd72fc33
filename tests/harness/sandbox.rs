//! A sandbox for one test: its own network, processes, `/run` and `/var/lib`.
//!
//! Some tests need resources that a machine has only once: port 9090, root, the directories of a system
//! service. The kernel's namespaces give each test its own, without root and without leftovers: [`enter`]
//! runs the test program again inside, for that one test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::beneath::{run_again, test_around};
use super::{PASSWORD, refused, skipped, wait_until};

/// Set inside the sandbox, to the path of its directory.
const INSIDE: &str = "SHIBUDB_TEST_WORLD";

const TOOLS: [&str; 5] = ["bash", "bc", "curl", "ip", "jq"];

/// The directories of the tools, including those that are usually in root's path only.
const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const NAMESPACES: [&str; 7] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

/// Prepares the namespaces.
const FURNISH: &str = r#"set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
if [ -d /etc/shibudb ]; then mount -t tmpfs tmpfs /etc/shibudb; fi
ip link set lo up
exec "$@""#;

/// Writes down the requested time, and sleeps until it is woken by name.
const SLEEP: &str = r#"#!/bin/bash
echo "$1" >> "$HOME/naps"
nap=$(wc -l < "$HOME/naps")
until [ -e "$HOME/wake.$nap" ]; do /bin/sleep 0.01; done
"#;

/// Root is the only user here.
const SUDO: &str = "#!/bin/sh\nexec \"$@\"\n";

/// The sandbox, from inside. Its directory is the home and the working directory of all commands.
pub(crate) struct Sandbox {
    home: PathBuf,
}

/// Runs `test` in a sandbox of its own. Must be called with a closure, as the first thing in a test.
pub(crate) fn enter<F: FnOnce(&Sandbox)>(test: F) {
    if let Some(home) = std::env::var_os(INSIDE) {
        return test(&Sandbox { home: home.into() });
    }
    if let Err(reason) = ENTRANCE.get_or_init(entrance) {
        return skipped(reason);
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_shibudb"), home.path().join("bin/shibudb")).unwrap();
    script(&home.path().join("bin/sleep"), SLEEP);
    script(&home.path().join("bin/sudo"), SUDO);
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).args(["bash", "-c", FURNISH, "furnish"]);
    command.env(INSIDE, home.path()).env("PATH", SYSTEM).stdin(Stdio::null());
    run_again(&mut command, test_around(&test));
}

static ENTRANCE: OnceLock<Result<(), String>> = OnceLock::new();

/// Whether namespaces can be made here.
fn entrance() -> Result<(), String> {
    let missing = TOOLS
        .iter()
        .find(|tool| !SYSTEM.split(':').any(|directory| Path::new(directory).join(tool).exists()));
    if let Some(tool) = missing {
        return Err(format!("needs the program {tool}"));
    }
    let mut attempt = Command::new("unshare");
    attempt.args(NAMESPACES).args(["bash", "-c", FURNISH, "furnish", "test", "-x"]);
    // If it was built below /run or /var/lib, this program is not visible inside.
    attempt.arg(std::env::current_exe().unwrap()).env("PATH", SYSTEM);
    match attempt.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "needs user namespaces, and a target directory outside /run and /var/lib: {}",
            text(&output.stderr).trim()
        )),
        Err(error) => Err(format!("needs the program unshare: {error}")),
    }
}

impl Sandbox {
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// A shell that runs `text` in a user's environment, and stops at the first failure.
    pub(crate) fn bash(&self, text: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", text]);
        self.at_home(&mut command);
        command
    }

    /// A program, run in a user's environment.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        self.at_home(&mut command);
        command
    }

    fn at_home(&self, command: &mut Command) {
        let path = format!("{}:{SYSTEM}", self.home.join("bin").display());
        command.env_clear().env("PATH", path).env("HOME", &self.home).current_dir(&self.home);
        command.env("SHIBUDB_ADMIN_PASSWORD", PASSWORD);
        command.stdin(Stdio::null());
    }

    /// Runs `text` in a shell, and returns its standard output. No command in it may fail.
    #[track_caller]
    pub(crate) fn run(&self, text: &str) -> String {
        let output = self.bash(text).output().unwrap();
        assert!(output.status.success(), "{text}\n{}", self::text(&output.stderr));
        self::text(&output.stdout)
    }

    /// Runs `text` in a shell, and returns its standard error. It must fail with this status, and print
    /// nothing on standard output.
    #[track_caller]
    pub(crate) fn fails(&self, text: &str, status: i32) -> String {
        refused(&self.bash(text).output().unwrap(), status)
    }

    /// Starts a server on port 9090, and returns its process id.
    #[track_caller]
    pub(crate) fn start(&self, limit: u32) -> String {
        let said = self.run(&format!("shibudb start 9090 {limit}"));
        let (_, pid) = said.split_once("PID ").unwrap();
        pid.chars().take_while(char::is_ascii_digit).collect()
    }

    /// Waits until a program in the sandbox calls `sleep` for the `nap`th time, counted from 1, and returns
    /// the requested time.
    #[track_caller]
    pub(crate) fn wait_for_nap(&self, nap: usize) -> String {
        let mut length = None;
        wait_until(&format!("nap {nap} has begun"), || {
            let naps = fs::read_to_string(self.home.join("naps")).unwrap_or_default();
            length = naps.lines().nth(nap - 1).map(str::to_owned);
            length.is_some()
        });
        length.unwrap()
    }

    /// Ends that nap.
    pub(crate) fn wake(&self, nap: usize) {
        fs::write(self.home.join(format!("wake.{nap}")), "").unwrap();
    }
}

pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
