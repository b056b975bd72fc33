//! The management API as seen by clients and `shibudb manager`: a real limiter and a real control behind a
//! real socket, on a separate port for each test.

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
