//! Single threads of the server, stopped as by a deadlock or a hanging disk.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::harness::Server;

/// Threads that are stopped until [`Self::go_on`]. The test's thread stopped them, and the same thread must
/// release them.
pub(crate) struct Stopped(Vec<Pid>);

impl Stopped {
    /// Stops all threads of one name; the others continue.
    pub(crate) fn stop(server: &Server, name: &str) -> Self {
        let mut stopped = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_to_string(path.join("comm")).unwrap().trim() == name {
                let thread = Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
                ptrace::seize(thread, ptrace::Options::empty()).unwrap();
                ptrace::interrupt(thread).unwrap();
                waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
                stopped.push(thread);
            }
        }
        assert!(!stopped.is_empty(), "no thread is called {name}");
        Self(stopped)
    }

    pub(crate) fn go_on(self) {
        for thread in self.0 {
            ptrace::detach(thread, None).unwrap();
        }
    }
}
