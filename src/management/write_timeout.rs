//! A stream whose other end must read what is written, sooner or later.
//!
//! An endless answer has no time limit of its own. Its client must keep reading: a write without progress for too long
//! ends the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::awake::Nap;

/// A stream on which a write that waits for longer than this fails.
pub(super) struct WriteTimeout<S> {
    stream: S,
    most: Duration,
    /// Runs while a write waits.
    waiting: Option<Nap>,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, most: Duration) -> Self {
        Self { stream, most, waiting: None }
    }

    /// `outcome`, unless it has been pending for too long.
    fn within<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let most = self.most;
        let waiting = self.waiting.get_or_insert_with(|| Nap::new(most));
        Pin::new(waiting).poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_gets_nowhere_fails_and_one_that_goes_on_does_not() {
        let (near, mut far) = duplex(1);
        let mut near = WriteTimeout::new(near, Duration::from_secs(90));
        let slow = tokio::spawn(async move {
            for _ in 0..5 {
                sleep(Duration::from_secs(60)).await;
                far.read_u8().await.unwrap();
            }
            far
        });
        let begun = Instant::now();
        near.write_all(b"123456").await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 300, "slow is not stuck");
        let _far = slow.await.unwrap();
        let stuck = near.write_all(b"7").await.unwrap_err();
        assert_eq!((stuck.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 390));
    }
}
