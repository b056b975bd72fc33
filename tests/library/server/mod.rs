//! The server over real sockets: answers, admission, and the ends of connections.

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
