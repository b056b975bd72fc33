//! Answers that do not end: how many there may be, and when they must end after all.
//!
//! Each holds a connection for as long as somebody looks. So they have only half of the places, that the
//! other half stays for requests, and they end at once when the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// What an answer without an end needs of the connection that it goes over. Added to each request.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    is_streaming: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

/// One such answer under way.
#[derive(Debug)]
pub(super) struct Streaming {
    _place: OwnedSemaphorePermit,
    is_streaming: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

impl Streams {
    /// For a listener that may have this many connections.
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

    /// Whether an answer without an end goes over this connection now.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }
}

impl Streaming {
    /// Waits until it must end.
    pub(super) async fn over(&self) {
        self.shutdown.cancelled().await;
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.is_streaming.store(false, Ordering::Relaxed);
    }
}
