//! shibudb: a database server whose connection limit can be moved while it runs.
//!
//! The rooms, from the outside to the core; each may use those after it, never those before:
//!
//! - [`cli`]: what a person types
//! - [`daemon`]: builds everything, binds, tells systemd, owns the tasks, drains
//! - [`import`]: takes over the data directory of a ShibuDB server
//! - [`metrics`]: numbers about all of that, in Prometheus' format
//! - [`server`]: the client side, put together of the next two
//! - `session`: the protocol with clients, over [`protocol`], [`auth`] and [`store`]
//! - `net`: clients' connections, whatever protocol they speak; uses the limiter alone
//! - [`management`]: the HTTP API
//! - [`signals`], [`watch`], [`systemd`], [`logging`]: one small adapter each to the system
//! - `identity`: which user is behind a number or a connection of this machine
//! - [`control`]: the only way to change the limit
//! - [`series`]: the last hour, a sample a second
//! - [`limiter`]: the core, one atomic word
//! - `names`: the rules for names, and how text of clients is displayed
//! - `named_enum`: enums whose variants have a name, one list each
//! - `private`: files that belong to this user alone
//! - `owner`: users of the system, the ownership of files, and switching to a user
//! - `reading`: files of others, read without blocking and never without end
//! - `accept_fault`: what an error of accept(2) is about
//! - `unpoisoned`: locks that a panic leaves usable
//! - `awake`: deadlines that a pause of the process does not use up
//!
//! [`config`] turns a file into settings; only [`daemon`] and `shibudb check` see it whole.

mod accept_fault;
pub mod auth;
mod awake;
pub mod cli;
pub mod config;
pub mod control;
mod daemon;
mod identity;
pub mod import;
pub mod limiter;
pub mod logging;
pub mod management;
mod metrics;
mod named_enum;
mod names;
mod net;
mod owner;
mod private;
pub mod protocol;
mod reading;
pub mod series;
pub mod server;
mod session;
mod signals;
pub mod store;
mod systemd;
mod unpoisoned;
mod watch;

/// Types that are built of atomics and locks and checked by loom: std's atomics here, loom's in
/// `tests/library/interleavings/`.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

    pub(crate) use crate::unpoisoned::Unpoisoned;
}
