//! Work that may wait for a disk or for another thread, with a bound on the wait.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Does `work` on a thread of its own. `None` if it was not done within `max_wait`, or the thread cannot be started:
/// the work is then abandoned, and ends with the process.
pub(super) fn within<T: Send + 'static>(
    max_wait: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = mpsc::channel();
    let work = move || {
        // Abandoned work has no receiver.
        done.send(work()).ok();
    };
    thread::Builder::new().name("bounded".into()).spawn(work).ok()?;
    result.recv_timeout(max_wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_not_waited_for() {
        let (_hold, held) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || held.recv().is_ok()), None);
        assert_eq!(within(Duration::from_secs(30), || 7), Some(7));
    }
}
