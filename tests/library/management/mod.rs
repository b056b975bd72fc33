//! The management API as a client sees it, and `shibudb manager` against it: a real limiter and a
//! real control behind a real socket, on a port of its own for each test.

mod bodies;
mod command_line;
mod connections;
mod events;
mod gate;
mod limit;
mod page;
mod reports;
mod series;
mod server;
mod socket;
mod token;
