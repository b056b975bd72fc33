//! Out of file descriptors: the server waits, serves whom it has, and goes on as soon as it can.
//!
//! Alone in its process, because the limit of descriptors is the process's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "server/test_server.rs"]
#[allow(dead_code, reason = "shared with the other tests of the server")]
mod test_server;

use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use test_server::{TestServer, wait_until};

#[test]
fn a_shortage_of_descriptors_is_survived() {
    let server = TestServer::new(1000);
    let mut inside = server.admin_in_space();
    let waiting: Vec<_> = (0..60).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let highest = waiting.iter().map(AsRawFd::as_raw_fd).max().unwrap();

    let normal = getrlimit(Resource::Nofile);
    let scarce = Rlimit { current: Some(u64::try_from(highest).unwrap() + 10), ..normal };
    setrlimit(Resource::Nofile, scarce).unwrap();
    for socket in &waiting {
        socket.connect(&server.address.into()).unwrap();
    }
    wait_until("some are accepted", || server.active() > 1);
    inside.put("still", "served");
    assert!(server.active() < 61, "there are not descriptors for all");

    setrlimit(Resource::Nofile, normal).unwrap();
    server.wait_until_active(61);
    drop(waiting);
    server.wait_until_active(1);
    inside.put("and", "after");
}
