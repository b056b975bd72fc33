//! Deadlines in the time in which this process runs.
//!
//! A process may be stopped for longer than any deadline: by a signal, a debugger, or with the whole virtual machine.
//! When it continues, all timers expire at once, though the awaited answer may have arrived long ago. So these
//! deadlines are counted in laps: a pause of any length uses up at most one of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::Timer;

/// The most that a pause of the process takes from a deadline.
pub(crate) const LAP: Duration = Duration::from_secs(1);

/// A deadline has expired. Equivalent to tokio's type, which cannot be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// hyper's timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AwakeTimer;

/// A sleep that can be kept and polled.
pub(crate) struct Nap(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

/// Sleeps for `duration`.
pub(crate) async fn sleep(duration: Duration) {
    let mut left = duration;
    while !left.is_zero() {
        let lap = left.min(LAP);
        tokio::time::sleep(lap).await;
        left -= lap;
    }
}

/// Waits for `future`, for at most `duration`.
///
/// # Errors
/// It did not finish by then.
pub(crate) async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = sleep(duration) => Err(Elapsed),
    }
}

impl Nap {
    pub(crate) fn new(duration: Duration) -> Self {
        Self(Box::pin(sleep(duration)))
    }
}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Nap {}

impl Timer for AwakeTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Nap::new(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_a_pause_it_is_as_long_as_asked_for() {
        let start = Instant::now();
        assert_eq!(timeout(Duration::from_millis(2500), pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed(), Duration::from_millis(2500));
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7), "what is done is not late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_takes_a_lap_at_most() {
        let waiting = tokio::spawn(async {
            sleep(Duration::from_secs(10)).await;
            Instant::now()
        });
        tokio::task::yield_now().await;
        // As after a stop: the clock has moved, and nothing has run meanwhile.
        advance(Duration::from_secs(3600)).await;
        let resumed = Instant::now();
        assert_eq!(waiting.await.unwrap() - resumed, Duration::from_secs(9));
    }
}
