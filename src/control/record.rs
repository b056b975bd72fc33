//! The record of every attempt to change the limit.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;
use crate::names;

named_enum! {
    /// A way to change the limit.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Door {
        /// The HTTP management API.
        Http = "http",
        /// `shibudb manager`.
        Cli = "cli",
        /// SIGUSR1 and SIGUSR2.
        Signal = "signal",
        /// An edit of the config file.
        Config = "config",
        /// The start of the server.
        Startup = "startup",
    }
}

/// The door of a record, by its stored name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordedDoor {
    /// A door of this version.
    Known(Door),
    /// A door of another version of the program: its name is kept as it is.
    Other(Box<str>),
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A client of the management API.
    Peer(SocketAddr),
    /// A client on this machine whose user the kernel knows.
    Local {
        /// Its address.
        peer: SocketAddr,
        /// Its user.
        user: User,
    },
    /// The sender of a signal or a client on the Unix socket, as the kernel names it.
    Process {
        /// Process id; 0 if it is not visible from here.
        pid: i32,
        /// Its user.
        user: User,
    },
    /// A signal whose sender the kernel does not name.
    Kernel,
    /// The config file.
    File(PathBuf),
    /// The command line of this process.
    CommandLine,
    /// The built-in default.
    Default,
    /// The override that an earlier run stored.
    StoredOverride,
}

/// A user of this machine. Displayed as `uid 1000 (zoe)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name, if it is known.
    pub name: Option<Arc<str>>,
}

/// One attempt to change the limit. A line of the history file, an entry of `GET /history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was decided.
    pub time: Timestamp,
    /// The revision after it: one more than before if applied, the same if refused.
    pub revision: u64,
    /// The door it came through.
    pub door: RecordedDoor,
    /// Who made the request, in words.
    pub actor: String,
    /// The limit before; absent at a start.
    pub old: Option<u32>,
    /// The limit requested, and if applied the limit since. Absent when there is none, as with a reset
    /// refused for a revision mismatch.
    pub new: Option<i64>,
    /// Connections active at that instant.
    pub active: u32,
    /// Applied or refused.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many refusals of one kind and one actor this record stands for; absent if one. All other fields
    /// are those of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// When the last of them was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Timestamp>,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It is in force.
    Applied,
    /// It changed nothing.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Record {
    /// Whether both begin with the same attempt, to which later ones may be added.
    pub(super) fn begins_with(&self, other: &Self) -> bool {
        self.time == other.time
            && self.revision == other.revision
            && self.door == other.door
            && self.actor == other.actor
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RecordedDoor {
    /// The door, if this version knows it.
    pub fn known(&self) -> Option<Door> {
        match self {
            Self::Known(door) => Some(*door),
            Self::Other(_) => None,
        }
    }
}

impl From<Door> for RecordedDoor {
    fn from(door: Door) -> Self {
        Self::Known(door)
    }
}

impl PartialEq<Door> for RecordedDoor {
    fn eq(&self, other: &Door) -> bool {
        self.known() == Some(*other)
    }
}

impl fmt::Display for RecordedDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(door) => door.fmt(f),
            Self::Other(name) => f.write_str(&names::shown(name)),
        }
    }
}

impl From<u32> for User {
    /// Without a name.
    fn from(uid: u32) -> Self {
        Self { uid, name: None }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "uid {} ({name})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address) => write!(f, "{address}"),
            Self::Local { peer, user } => write!(f, "{peer} {user}"),
            Self::Process { pid, user } => write!(f, "pid {pid} {user}"),
            Self::Kernel => f.write_str("kernel"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::Default => f.write_str("default"),
            Self::StoredOverride => f.write_str("stored override"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_has_one_name_in_files_and_in_words() {
        for door in Door::ALL {
            assert_eq!(serde_json::to_value(door).unwrap(), door.name());
        }
    }
}
