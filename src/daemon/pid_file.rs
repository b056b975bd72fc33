//! The PID file of a daemon from `start`: `<port>.pid` in a [directory of the user's own](super::paths::runtime_dirs).
//!
//! The daemon holds a record lock on it for as long as it lives; the kernel drops the lock when the daemon ends,
//! however it ends. The kernel names the holder of the lock, in this process' own PID namespace. The number in the
//! file is never trusted: it only has to agree.
//!
//! Only a process that may write to the file can take a write lock, and only its owner may (0600). Queries take
//! no lock, so they never get in the way of a start.
//!
//! The file is a little long because it holds every check that must pass before a process is signalled.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, RenameFlags, fcntl_lock, renameat_with};
use rustix::io::Errno;
use rustix::process::{
    Flock, FlockType, Pid, PidfdFlags, Signal, fcntl_getlk, pidfd_open, pidfd_send_signal,
};

use crate::{owner, private};

/// The permission bits of group and others, all of which must be clear.
const OTHERS: u32 = 0o077;

/// How long a daemon may take from the lock to the number, and how often the reader polls for it.
const WRITING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// The file, locked. Removed and unlocked when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    lock: File,
}

/// A daemon that is proven to hold its PID file.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its process id.
    pub pid: i32,
    /// A handle to this process, never to a later one with the same number.
    process: OwnedFd,
}

/// Why the state or the process id of a daemon is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// The file, or `/proc`, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The PID file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The holder runs in a namespace whose process numbers mean nothing here.
    #[error(
        "{} is locked by a process that is not visible here, in another PID namespace (a container?) or on another \
         host; no signal was sent; stop it where it was started", .0.display()
    )]
    OutOfSight(PathBuf),
    /// The kernel and the file do not agree.
    #[error(
        "{} is locked by process {holder}, which is not the server that the file names; no signal was \
         sent", path.display()
    )]
    NotTheServer {
        /// The PID file.
        path: PathBuf,
        /// The process that holds it.
        holder: i32,
    },
}

/// The path of the PID file of a port.
pub(crate) fn path(runtime_dir: &Path, port: u16) -> PathBuf {
    runtime_dir.join(format!("{port}.pid"))
}

impl PidFile {
    /// Takes the file for this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if a living daemon holds it; else the system's error.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        loop {
            let create = private::options().read(true).write(true).create(true).truncate(false).clone();
            let mut file = private::open(path, &create)?;
            let found = file.metadata()?;
            if found.uid() != rustix::process::geteuid().as_raw() {
                return Err(owner::belongs_to(found.uid()));
            }
            if found.permissions().mode() & OTHERS != 0 {
                // An earlier version made it. Other users may have it open and lock it for as long as they like.
                match find(path) {
                    Ok(None) => set_aside(path, &file)?,
                    _ => return Err(io::ErrorKind::WouldBlock.into()),
                }
                continue;
            }
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The daemon that had it has removed it meanwhile.
                Ok(()) if !private::is_at(&file, path)? => continue,
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => return Err(error.into()),
            }
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            return Ok(Self { path: path.to_owned(), lock: file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While the lock is held, so that this cannot remove the file of a later daemon.
        let removed = private::is_at(&self.lock, &self.path)
            .and_then(|ours| if ours { fs::remove_file(&self.path) } else { Ok(()) });
        if let Err(error) = removed {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot remove the PID file {path}: {error}");
        }
    }
}

impl Running {
    /// The daemon that holds the file, if there is one.
    ///
    /// # Errors
    /// [`FindError`] if the holder is unknown; then the caller must not signal any process.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, FindError> {
        find(path)
    }

    /// Asks it to drain and end.
    ///
    /// # Errors
    /// If it belongs to another user.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills the process at once, whatever it is doing.
    ///
    /// # Errors
    /// If it belongs to another user.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.process, signal) {
            // The process has ended.
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The state of the process, as in proc(5): `S` for sleeping, `T` for stopped, `D` for waiting for a disk;
    /// `None` if it has ended.
    pub(crate) fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The state follows the name, which may contain any character.
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Waits at most `time` for the process to end. Returns whether it has.
    ///
    /// # Errors
    /// The system's error; none is expected.
    pub(crate) fn has_ended_within(&self, time: Duration) -> io::Result<bool> {
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut ended, Some(&time)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn find(path: &Path) -> Result<Option<Running>, FindError> {
    let failed = |source| FindError::Read { path: path.to_owned(), source };
    let mut file = match private::open(path, private::options().read(true)) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let Some(holder) = holder(&file).map_err(failed)? else {
        return of_an_earlier_version(path, &mut file);
    };
    let out_of_sight = || FindError::OutOfSight(path.to_owned());
    let pid = holder.filter(|pid| pid.as_raw_pid() > 0).ok_or_else(out_of_sight)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // It ended meanwhile.
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let stranger = || FindError::NotTheServer { path: path.to_owned(), holder: pid.as_raw_pid() };
    let number = number(&mut file).map_err(failed)?;
    // Still the holder *after* the handle was taken: then the handle is the holder's.
    match self::holder(&file).map_err(failed)? {
        Some(Some(still)) if still == pid => {}
        _ => return Ok(None),
    }
    if number.is_none() || number != own_number(pid) {
        return Err(stranger());
    }
    // The kernel's number of the holder may be stale, and reused by a process of another user since: the owner of
    // the file can only have their own processes signalled.
    if !runs_as(pid, file.metadata().map_err(failed)?.uid()) {
        return Err(stranger());
    }
    Ok(Some(Running { pid: pid.as_raw_pid(), process }))
}

/// The holder of a write lock on the file: none, a process without a number here, or this process.
fn holder(file: &File) -> io::Result<Option<Option<Pid>>> {
    // Only a write lock conflicts with a read lock, and taking one requires the right to write.
    Ok(fcntl_getlk(file, &Flock::from(FlockType::ReadLock))?.map(|lock| lock.pid))
}

/// The number in the file, once it is there.
fn number(file: &mut File) -> io::Result<Option<i32>> {
    let mut waited = Duration::ZERO;
    loop {
        let mut text = String::new();
        file.rewind()?;
        Read::by_ref(file).take(64).read_to_string(&mut text)?;
        if text.ends_with('\n') || waited >= WRITING {
            return Ok(text.trim().parse().ok());
        }
        thread::sleep(LOOK);
        waited += LOOK;
    }
}

/// The number of a process in its own PID namespace, which is the one it calls itself.
fn own_number(pid: Pid) -> Option<i32> {
    status(pid, "NSpid:")?.pop()?.try_into().ok()
}

/// Whether all ids of a process are this user's. A root process that has temporarily taken the user's id keeps
/// its own as the real or the saved one.
fn runs_as(pid: Pid, uid: u32) -> bool {
    status(pid, "Uid:").is_some_and(|ids| ids.len() == 4 && ids.iter().all(|&id| id == uid))
}

/// The numbers in a line of a process' status file, see proc(5).
fn status(pid: Pid, line: &str) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).ok()?;
    let numbers = status.lines().find_map(|each| each.strip_prefix(line))?;
    numbers.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

/// A daemon of an earlier version, whose lock is of another kind: any user who may read the file can take
/// it. The kernel lists its holder beside the descriptors of each process.
fn of_an_earlier_version(path: &Path, file: &mut File) -> Result<Option<Running>, FindError> {
    let failed = |source| FindError::Read { path: path.to_owned(), source };
    let found = file.metadata().map_err(failed)?;
    let mut text = String::new();
    Read::by_ref(file).take(64).read_to_string(&mut text).map_err(failed)?;
    let Some(pid) = text.trim().parse().ok().filter(|&pid| pid > 0).and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(None) };
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
    // After the handle was taken, as above. A process that cannot be inspected is not this user's.
    let is_owners = fs::metadata(&folder).is_ok_and(|its| its.uid() == found.uid());
    let holds = is_owners && has_locked(&folder, &found);
    Ok(holds.then_some(Running { pid: pid.as_raw_pid(), process }))
}

/// Whether a process has this file open, and locked whole for itself.
fn has_locked(process: &Path, wanted: &fs::Metadata) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let is_it = fs::metadata(descriptor.path())
            .is_ok_and(|its| (its.dev(), its.ino()) == (wanted.dev(), wanted.ino()));
        let info = process.join("fdinfo").join(descriptor.file_name());
        is_it
            && fs::read_to_string(info).is_ok_and(|info| {
                info.lines()
                    .any(|line| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE"))
            })
    })
}

/// Removes the file, if it is still this one.
fn set_aside(path: &Path, file: &File) -> io::Result<()> {
    let aside = path.with_added_extension(format!("{}.old", std::process::id()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if private::is_at(file, &aside)? {
        return fs::remove_file(&aside);
    }
    // Another start was faster, and this is the file that it has made.
    renameat_with(rustix::fs::CWD, &aside, rustix::fs::CWD, path, RenameFlags::NOREPLACE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process of another program that locks the file and reports it, until it is killed.
    struct Holder(Child);

    impl Holder {
        fn of(path: &Path, how: &str) -> Option<Self> {
            let mut command = Command::new("flock");
            command.args([how, "--no-fork"]).arg(path).args(["sh", "-c", "echo held; exec sleep 1000"]);
            Self::begin(&mut command)
        }

        fn begin(command: &mut Command) -> Option<Self> {
            let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
            let mut word = [0; 5];
            child.stdout.take()?.read_exact(&mut word).unwrap();
            Some(Self(child))
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn in_a_directory() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), 9090);
        (dir, path)
    }

    #[test]
    fn the_file_is_for_its_owner_and_goes_at_the_end() {
        let (_dir, path) = in_a_directory();
        let file = PidFile::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_others_may_lock_is_made_anew() {
        let (_dir, path) = in_a_directory();
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let Some(_stranger) = Holder::of(&path, "--shared") else { return };
        assert!(find(&path).unwrap().is_none(), "the stranger is nobody's server");
        let _file = PidFile::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_daemon_of_an_earlier_version_is_found_by_its_lock() {
        let (_dir, path) = in_a_directory();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let Some(holder) = Holder::of(&path, "--exclusive") else { return };
        fs::write(&path, format!("{}\n", holder.0.id())).unwrap();
        assert_eq!(find(&path).unwrap().unwrap().pid, i32::try_from(holder.0.id()).unwrap());
        assert_eq!(PidFile::take(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Another process holds the lock, whatever the file says.
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert!(find(&path).unwrap().is_none());
    }

    #[test]
    fn a_process_of_another_user_is_no_server_of_the_files_owner() {
        let (_dir, path) = in_a_directory();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let program = "import fcntl, os, sys, time\nfile = open(sys.argv[1], 'r+')\nfcntl.lockf(file, fcntl.LOCK_EX)\n\
                       print(os.getpid(), file=file, flush=True)\nprint('held', flush=True)\ntime.sleep(1000)";
        let mut holder = Command::new("python3");
        let Some(holder) = Holder::begin(holder.args(["-c", program]).arg(&path)) else { return };
        let pid = i32::try_from(holder.0.id()).unwrap();
        assert_eq!(find(&path).unwrap().unwrap().pid, pid);
        let us = rustix::process::geteuid();
        assert!(!runs_as(Pid::from_raw(pid).unwrap(), us.as_raw() + 1));
        if us.is_root() {
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            assert!(matches!(find(&path), Err(FindError::NotTheServer { holder, .. }) if holder == pid));
        }
    }

    #[test]
    fn looking_is_never_in_the_way_of_a_start() {
        let (_dir, path) = in_a_directory();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    find(&path).unwrap();
                }
            });
            let taken = (0..1000).all(|_| PidFile::take(&path).is_ok());
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(taken);
        });
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let (dir, path) = in_a_directory();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(PidFile::take(&path).is_err());
        assert!(find(&path).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }
}
