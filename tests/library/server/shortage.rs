//! Out of file descriptors: the server waits, serves its clients, and accepts again as soon as possible.

use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::test_server::{TestServer, wait_until};
use crate::harness::{OWN_PROCESS, is_beneath, this_test};

#[test]
fn a_shortage_of_descriptors_is_survived() {
    // The limit of descriptors applies to the whole process.
    if !is_beneath(&OWN_PROCESS, this_test!()) {
        return;
    }
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
