//! Many at once, against the built server: connections that race the limit, connections that never
//! say a word, and more of them than there are descriptors for. Each has the machine for itself, since what is
//! measured is time.
//!
//! Beside them, since it only waits, and long: a client whose machine vanishes.

mod descriptors;
mod race;
mod silent;
mod vanished;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::Server;

static MACHINE: Mutex<()> = Mutex::new(());

/// Waits until no other test of this program runs.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for this many open files in this process; whether there is.
fn can_open(files: u64) -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return true;
    }
    maximum.is_none_or(|maximum| maximum >= files)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).is_ok()
}

/// The times that something took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn measure<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = what();
        self.0.push(start.elapsed());
        result
    }

    /// So many percent took no longer.
    fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// Share of one processor that the server uses for this long, in percent.
fn processor_use(server: &Server, length: Duration) -> f64 {
    let used = || {
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let times = threads.map(|thread| {
            let times = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
            Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
        });
        times.sum::<Duration>().as_secs_f64()
    };
    let (before, start) = (used(), Instant::now());
    std::thread::sleep(length);
    (used() - before) * 100.0 / start.elapsed().as_secs_f64()
}
