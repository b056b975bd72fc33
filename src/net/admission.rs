//! Admission: the one place where a connection gets its permit.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use crate::limiter::{Full, Permit};

use super::Shared;
use super::handler::Handler;
use super::transport::Transport;

/// A connection that was admitted. The permit moves on into the connection and is dropped with it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) id: u64,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) permit: Permit,
}

impl Admitted {
    pub(super) fn new<H: Handler>(
        shared: &Shared<H>,
        transport: Transport,
        peer: SocketAddr,
        permit: Permit,
    ) -> Self {
        Self { id: shared.ids.fetch_add(1, Ordering::Relaxed), transport, peer, permit }
    }
}

impl<H: Handler> Shared<H> {
    /// Takes a place for one connection, if there is one. A rejection is not counted: the attempt may be made again.
    pub(super) fn acquire(&self) -> Result<Permit, Full> {
        self.limiter.attempt()
    }
}
