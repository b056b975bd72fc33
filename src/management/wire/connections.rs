//! Who is connected.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::named_enum::named_enum;

/// How many connections are listed unless told otherwise.
pub(crate) const DEFAULT_CONNECTIONS: u32 = 1000;

/// How many connections are listed at most.
pub(crate) const MOST_CONNECTIONS: u32 = 100_000;

named_enum! {
    /// What a list of connections is sorted by: names and numbers upwards, amounts downwards. The name is the one in a
    /// query and on the command line.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum ConnectionSort {
        /// By its number.
        #[default]
        Id = "id",
        /// By who has logged in.
        User = "user",
        /// By address.
        Peer = "peer",
        /// The oldest first.
        Age = "age",
        /// The longest silent first.
        Idle = "idle",
        /// By requests.
        Requests = "requests",
        /// By bytes received.
        BytesIn = "bytes_in",
        /// By bytes sent.
        BytesOut = "bytes_out",
    }
}

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// Its number, by which it can be ended. Never used again.
    pub id: u64,
    /// The client's address and port.
    pub peer: String,
    /// Who has logged in; null until somebody has.
    pub user: Option<String>,
    /// The space in use, if one was chosen.
    pub space: Option<String>,
    /// When it was opened.
    pub connected_at: Timestamp,
    /// For how long the client has sent nothing, to the tenth of a second.
    pub idle_seconds: f64,
    /// Requests so far, the login included.
    pub requests: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
}

/// How many connections one user has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserTotal {
    /// Null stands for all who have not logged in.
    pub user: Option<String>,
    /// How many of those that match.
    pub connections: u64,
}

/// How many connections come from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerTotal {
    /// The address, without a port.
    pub peer: String,
    /// How many of those that match.
    pub connections: u64,
}

/// The answer of `GET /connections`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionList {
    /// As many as were asked for.
    pub connections: Vec<Connection>,
    /// How many match, whether they are in the list or not.
    pub total: u64,
    /// Of all that match: the users with the most, those first.
    pub by_user: Vec<UserTotal>,
    /// Of all that match: the addresses with the most, those first.
    pub by_peer: Vec<PeerTotal>,
}

/// An address from which clients were turned away at the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedPeer {
    /// The address, without a port.
    pub peer: String,
    /// How often, at most: the least frequent addresses make room for others, which inherit their number.
    pub rejections: u64,
    /// How many of those may have been of other addresses.
    pub uncertain: u64,
    /// When last.
    pub last: Timestamp,
}

/// The answer of `GET /rejections`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rejections {
    /// How many clients were turned away since the start.
    pub rejected: u64,
    /// The addresses that were turned away most often, those first; 64 at most.
    pub peers: Vec<RejectedPeer>,
}

/// How a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was between requests and is closed.
    Now,
    /// It is closed as soon as the request that is being worked on is answered.
    AfterItsRequest,
}

/// The answer of `DELETE /connections/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedConnection {
    /// Always `success`.
    pub status: super::Status,
    /// The connection.
    pub id: u64,
    /// When it ends.
    pub ended: Ended,
    /// The same in words.
    pub message: String,
}
