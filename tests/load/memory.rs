//! Memory that is used temporarily is released.

use std::fs;
use std::net::TcpStream;

use crate::harness::{Server, Setup, wait_until};
use serde_json::json;

/// The memory that may remain, in KiB: caches, and pages that are only partly free.
const MAY_STAY: u64 = 6 * 1024;

/// The server's resident memory, in KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_logins_have_taken_is_given_back() {
    let server = Setup::new().start();
    drop(server.admin());
    let before = resident(&server);
    // Each costs a hash of 19 MB, on one thread or another.
    std::thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let login = json!({"username": "admin", "password": format!("guess {number}")});
                assert_eq!(server.connect().ask(&login)["status"], "ERROR");
            });
        }
    });
    wait_until("the memory of the hashes is given back", || resident(&server) < before + MAY_STAY);
}

#[test]
fn what_connections_have_taken_is_given_back_every_time() {
    const CONNECTIONS: u32 = 4000;
    let server = Setup::new().limit(CONNECTIONS + 10).start();
    drop(server.admin());
    let hold_and_close = || {
        let held: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        server.wait_until_active(CONNECTIONS.into());
        let with = resident(&server);
        drop(held);
        server.wait_until_active(0);
        with
    };
    // The first run loads code, which stays in memory.
    hold_and_close();
    for _ in 0..3 {
        let with = hold_and_close();
        wait_until("the memory of the connections is given back", || resident(&server) + 256 < with);
    }
}
