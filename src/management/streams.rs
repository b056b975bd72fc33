//! Endless answers: how many there may be, and when they must end after all.
//!
//! Each holds a connection for as long as its client reads. So they get only half of the places, to leave the other
//! half for requests, and they end at once when the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What an endless answer needs of its connection. Added to each request.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    is_streaming: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

/// One endless answer under way.
#[derive(Debug)]
pub(super) struct Streaming {
    _place: OwnedSemaphorePermit,
    is_streaming: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

impl Streams {
    /// For a listener with at most this many connections.
    pub(super) fn among(connections: usize, shutdown: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(connections / 2)), is_streaming: Arc::default(), shutdown }
    }

    /// The same for one more connection.
    pub(super) fn of_connection(&self) -> Self {
        Self { is_streaming: Arc::default(), ..self.clone() }
    }

    /// Takes a place; `None` if all are taken.
    pub(super) fn begin(&self) -> Option<Streaming> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.is_streaming.store(true, Ordering::Relaxed);
        Some(Streaming {
            _place: place,
            is_streaming: Arc::clone(&self.is_streaming),
            shutdown: self.shutdown.clone(),
        })
    }

    /// Whether this connection carries an endless answer now.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }
}

impl Streaming {
    /// Waits until the answer must end.
    pub(super) async fn over(&self) {
        self.shutdown.cancelled().await;
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.is_streaming.store(false, Ordering::Relaxed);
    }
}
