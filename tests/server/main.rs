//! The server over real sockets: what clients are answered, who is let in, and how connections end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod departures;
mod endings;
mod memory;
mod pipelining;
mod rejection;
mod roster;
mod test_server;
mod workers;
