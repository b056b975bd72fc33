//! The PID file of what `start` has begun: `<runtime-dir>/<port>.pid`.
//!
//! The daemon holds a lock on it for as long as it lives, and the kernel drops the lock when it
//! ends, however it ends. So a locked file names a living daemon, and `stop` never signals a
//! stranger who happens to have got the number.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The file, locked. Removed and unlocked when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _lock: File,
}

/// A daemon found by its PID file.
#[derive(Debug)]
pub struct Running {
    /// Its process id.
    pub pid: i32,
    /// A handle that means this process and no later one of the same number.
    process: OwnedFd,
}

/// Where the PID file of a port is.
pub fn path(runtime_dir: &Path, port: u16) -> PathBuf {
    runtime_dir.join(format!("{port}.pid"))
}

impl PidFile {
    /// Takes the file for this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if a living daemon holds it; else what the system says.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While it is still locked, so that nobody else's file can be meant.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the PID file");
        }
    }
}

impl Running {
    /// The daemon that holds the file, if any does.
    ///
    /// # Errors
    /// What the system says about the file.
    pub fn find(path: &Path) -> io::Result<Option<Self>> {
        let Some(pid) = locked_pid(path)? else { return Ok(None) };
        let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return Ok(None);
        };
        // Still locked by the same number *after* the handle was taken: then the handle is the daemon's.
        Ok((locked_pid(path)? == Some(pid)).then_some(Self { pid, process }))
    }

    /// Asks it to drain and end.
    ///
    /// # Errors
    /// If it belongs to somebody else.
    pub fn terminate(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.process, Signal::TERM) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What the system says; it has no reason to.
    pub fn wait(&self) -> io::Result<()> {
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        loop {
            match poll(&mut ended, None) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn locked_pid(path: &Path) -> io::Result<Option<i32>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text.trim().parse().ok())
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}
