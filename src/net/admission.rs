//! The only place where a connection is admitted: it gets a place under every limit that applies to it, or none.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use crate::limiter::{Admission, NoPlace, admit};

use super::Shared;
use super::handler::Handler;
use super::transport::Transport;

/// A connection that was admitted. The admission moves on into the connection and is dropped with it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) id: u64,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) admission: Admission,
}

impl Admitted {
    pub(super) fn new<H: Handler>(
        shared: &Shared<H>,
        transport: Transport,
        peer: SocketAddr,
        admission: Admission,
    ) -> Self {
        Self { id: shared.ids.fetch_add(1, Ordering::Relaxed), transport, peer, admission }
    }
}

impl<H: Handler> Shared<H> {
    /// Takes a place for one connection, if there is one. A rejection is not counted: the attempt may be repeated.
    pub(super) fn admit(&self) -> Result<Admission, NoPlace> {
        admit(&[&self.limit])
    }
}
