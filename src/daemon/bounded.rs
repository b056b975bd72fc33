//! Work that may wait for a file system that hangs, and is not waited for longer than it is worth.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Does `work` on a thread of its own.
///
/// # Errors
/// What it says itself, or that it was not done within `patience`: then its thread goes on, and ends with the process.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = mpsc::channel();
    thread::Builder::new().name("bounded".into()).spawn(move || {
        // Nobody waits for what was given up.
        done.send(work()).ok();
    })?;
    result.recv_timeout(patience).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the file system has not answered for {patience:?}"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_not_waited_for() {
        let (_hold, held) = mpsc::channel::<()>();
        let hung = within(Duration::from_millis(10), move || held.recv().map_err(io::Error::other));
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(within(Duration::from_secs(30), || Ok(7)).unwrap(), 7);
    }
}
