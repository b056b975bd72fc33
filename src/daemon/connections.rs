//! The server's connections as the management API shows them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::management::{Connections, wire};
use crate::server::{ConnectionInfo, CountedPeer, Ended, Roster};

/// The connections of a running server.
#[derive(Debug)]
pub(super) struct RosterView(pub(super) Roster);

impl Connections for RosterView {
    fn list(&self) -> BoxFuture<'_, Vec<wire::Connection>> {
        async {
            let now = Timestamp::now();
            self.0.connections().await.iter().map(|connection| entry(connection, now)).collect()
        }
        .boxed()
    }

    fn rejected(&self) -> Vec<wire::RejectedPeer> {
        self.0.rejected().into_iter().map(rejected).collect()
    }

    fn end(&self, id: u64) -> BoxFuture<'_, Option<wire::Ended>> {
        async move {
            Some(match self.0.end(id).await? {
                Ended::Now => wire::Ended::Now,
                Ended::AfterItsRequest => wire::Ended::AfterItsRequest,
            })
        }
        .boxed()
    }
}

fn rejected(peer: CountedPeer) -> wire::RejectedPeer {
    wire::RejectedPeer {
        peer: peer.address.to_string(),
        rejections: peer.times,
        uncertain: peer.uncertain,
        last: Timestamp::try_from(peer.last).unwrap_or_default(),
    }
}

fn entry(connection: &ConnectionInfo, now: Timestamp) -> wire::Connection {
    wire::Connection {
        id: connection.id,
        peer: connection.peer.to_string(),
        user: connection.user().map(str::to_owned),
        space: connection.space().map(str::to_owned),
        // A clock set back to before 1970 meanwhile is not worth an error.
        connected_at: now.checked_sub(connection.age).unwrap_or(now),
        idle_seconds: connection.idle.as_secs_f64(),
        requests: connection.requests,
        bytes_in: connection.bytes_in,
        bytes_out: connection.bytes_out,
    }
}
