//! Floods of the built server: connections that race the limit, connections that send nothing, and more
//! connections than descriptors.
//!
//! In the same module, since it mostly waits: a client whose machine vanishes.

mod descriptors;
mod race;
mod silent;
mod vanished;

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::Server;

/// The share of one processor that the server uses during `length`, in percent.
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
