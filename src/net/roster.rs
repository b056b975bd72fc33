//! Lists the connected clients, and ends a connection from outside.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Shared;
use super::handler::Handler;
use super::message::Message;
use super::peers::CountedPeer;

/// Asks the workers about their connections. A cheap handle.
pub struct Roster<H: Handler> {
    shared: Arc<Shared<H>>,
}

/// One connection, as of a moment ago.
#[derive(Debug, Clone)]
pub struct ConnectionInfo<L> {
    /// Its number. Never reused.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The name of its session.
    pub(crate) label: L,
    /// How long it has been open.
    pub age: Duration,
    /// How long the client has sent nothing; zero while a request is under way.
    pub idle: Duration,
    /// Requests so far, the login included.
    pub requests: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// How a connection was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was between requests and is closed.
    Now,
    /// A request is under way: the connection ends when it has been answered.
    AfterItsRequest,
}

impl<H: Handler> Roster<H> {
    pub(super) fn new(shared: Arc<Shared<H>>) -> Self {
        Self { shared }
    }

    /// All connections, in no particular order. The workers answer one after another; connections come and go
    /// meanwhile.
    pub async fn connections(&self) -> Vec<ConnectionInfo<H::Label>> {
        let mut all = Vec::new();
        for mailbox in &self.shared.mailboxes {
            let (reply, answer) = oneshot::channel();
            mailbox.send(Message::List(reply));
            // No answer means that the server has ended meanwhile.
            all.append(&mut answer.await.unwrap_or_default());
        }
        all
    }

    /// The addresses that were rejected most often, in descending order.
    pub fn rejected(&self) -> Vec<CountedPeer> {
        self.shared.turned_away.peers().most()
    }

    /// Ends the connection with this number, but not in the middle of a request. `None` if there is none.
    pub async fn end(&self, id: u64) -> Option<Ended> {
        for mailbox in &self.shared.mailboxes {
            let (reply, answer) = oneshot::channel();
            mailbox.send(Message::End(id, reply));
            if let Ok(Some(ended)) = answer.await {
                return Some(ended);
            }
        }
        None
    }
}

impl<H: Handler> fmt::Debug for Roster<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roster")
    }
}
