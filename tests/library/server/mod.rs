//! The server over real sockets: what clients are answered, who is let in, and how connections end.

mod answers;
mod departures;
mod endings;
mod memory;
mod pipelining;
mod rejection;
mod roster;
mod shortage;
mod test_server;
mod workers;
