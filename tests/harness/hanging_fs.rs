//! A file system that stops answering on request, like a network file system whose server is gone.
//!
//! It is a FUSE file system, served by a thread of the test, that shows a directory of the test under another path.
//! While it is frozen, a process that makes a system call on it blocks, and can only be killed. The test itself works
//! on [`HangingFs::source`], which never hangs.
//!
//!     if !is_beneath(&OWN_MOUNTS, this_test!()) {
//!         return;
//!     }
//!     let fs = HangingFs::new();
//!     fs::write(fs.source().join("shibudb.toml"), "max_connections = 500\n").unwrap();
//!     // ... a server that uses fs.path().join("shibudb.toml") ...
//!     fs.freeze();
//!     fs.wait_for_waiters();
//!     fs.thaw();
//!
//! inotify on the path does not report changes in the source, as on a network file system. Dropping it returns an
//! error to all blocked callers.

mod requests;
mod wire;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use self::requests::Requests;
use super::wait_until;

/// How long the serving thread waits for a request before it checks whether it must end.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A mounted file system.
pub(crate) struct HangingFs {
    home: TempDir,
    /// `Some` until it is dropped.
    device: Option<Arc<File>>,
    gate: Arc<Gate>,
    server: Option<JoinHandle<()>>,
}

/// The state that controls the serving thread.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frozen: bool,
    over: bool,
}

impl HangingFs {
    /// Mounts a file system over an empty directory.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["source", "path"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let device =
            OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/fuse");
        let device = Arc::new(device.unwrap());
        let status = Command::new("mount")
            .args(["--internal-only", "-t", "fuse", "hanging"])
            .arg(home.path().join("path"))
            .args(["-o", "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other"])
            .stdin(Stdio::from(device.try_clone().unwrap()))
            .status();
        assert!(status.unwrap().success(), "cannot mount a FUSE file system");
        let gate = Arc::default();
        let server = thread::spawn({
            let (device, gate) = (Arc::clone(&device), Arc::clone(&gate));
            let requests = Requests::on(home.path().join("source"));
            move || serve(&device, &gate, requests)
        });
        Self { home, device: Some(device), gate, server: Some(server) }
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("path")
    }

    /// The directory that it shows, for use by the test.
    pub(crate) fn source(&self) -> PathBuf {
        self.home.path().join("source")
    }

    /// Answers no request from now on.
    pub(crate) fn freeze(&self) {
        self.gate.lock().frozen = true;
    }

    /// Answers again, including waiting requests.
    pub(crate) fn thaw(&self) {
        self.gate.lock().frozen = false;
        self.gate.changed.notify_all();
    }

    /// Waits until a request waits for an answer. Call it while the file system is frozen.
    #[track_caller]
    pub(crate) fn wait_for_waiters(&self) {
        let device = self.device.as_ref().unwrap();
        wait_until("somebody waits for the file system", || is_readable(device, &Timespec::default()));
    }
}

impl Drop for HangingFs {
    fn drop(&mut self) {
        let path = self.path();
        self.gate.lock().over = true;
        self.gate.changed.notify_all();
        if let Some(server) = self.server.take() {
            server.join().ok();
        }
        // Closes the last descriptor, so that later requests, those of `umount` included, get an error and do not wait.
        self.device.take();
        // Lazily, so that open files do not make it fail.
        Command::new("umount").args(["--internal-only", "--lazy"]).arg(&path).status().ok();
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Answers requests. While it is frozen none is even read, so that its caller can be killed: the kernel does not
/// let a process die while its request is being processed.
fn serve(device: &File, gate: &Gate, mut requests: Requests) {
    let mut buffer = vec![0; wire::LARGEST_REQUEST];
    loop {
        let readable = is_readable(device, &TICK);
        let state = gate.lock();
        let state = gate.changed.wait_while(state, |state| state.frozen && !state.over).unwrap();
        if state.over {
            return;
        }
        // `state` is held until the answer is written: after `freeze` has returned, no request is answered.
        if !readable {
            continue;
        }
        match (&*device).read(&mut buffer) {
            Ok(length) => {
                if let Some(answer) = requests.answer(&buffer[..length]) {
                    // The caller may have been killed meanwhile.
                    (&*device).write_all(&answer).ok();
                }
            }
            // The caller has withdrawn the request.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
            // Unmounted.
            Err(_) => return,
        }
    }
}

fn is_readable(device: &File, max_wait: &Timespec) -> bool {
    let mut polled = [PollFd::new(device, PollFlags::IN)];
    poll(&mut polled, Some(max_wait)).is_ok_and(|ready| ready > 0)
}

/// Whether such file systems work here.
pub(crate) fn exist() -> bool {
    Path::new("/dev/fuse").exists()
}
