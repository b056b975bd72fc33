//! Who owns the other end of a TCP connection from this machine, as the kernel's table of sockets has it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};

/// The table of each family. A client may use a socket of either for an IPv4 address.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The most bytes to read of a table: enough for more than 400,000 sockets.
const LONGEST_TABLE: u64 = 64 << 20;

/// The states of a socket that a process still owns: connected, or with one direction closed.
const OWNED: [&str; 4] = ["01", "04", "05", "08"];

/// The two addresses of a connection: that of the client, and that of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// The user id of the process at the other end. Reads the whole table, if need be.
pub(super) fn owner(ends: &Ends) -> Option<u32> {
    TABLES.into_iter().find_map(|table| {
        let table = File::open(table).ok()?;
        find(BufReader::new(table.take(LONGEST_TABLE)), ends)
    })
}

fn find(table: impl BufRead, Ends { peer, local }: &Ends) -> Option<u32> {
    let [ours, theirs] = [local, peer].map(|end| (written(*end, false), written(*end, true)));
    // The row of the other end, seen from there.
    let is_row =
        |from: &str, to: &str| (from == theirs.0 && to == ours.0) || (from == theirs.1 && to == ours.1);
    table.lines().map_while(Result::ok).find_map(|row| {
        let mut cells = row.split_whitespace().skip(1);
        let (from, to, state) = (cells.next()?, cells.next()?, cells.next()?);
        if !is_row(from, to) || !OWNED.contains(&state) {
            return None;
        }
        let uid = cells.nth(3)?.parse().ok()?;
        // The table lists root as the owner of a socket that no process owns any more.
        let inode = cells.nth(1)?;
        (inode != "0").then_some(uid)
    })
}

/// An address in the format of the table: each 32 bits as a number in the byte order of this machine. `wide` selects
/// the IPv6 form of an IPv4 address.
fn written(address: SocketAddr, wide: bool) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) if wide => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.as_chunks::<4>().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_the_other_end_is_found_in_the_table() {
        let me = rustix::process::geteuid().as_raw();
        for (listen, connect) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect((connect, port)).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
            let ends = Ends { peer: canonical(peer), local: canonical(server.local_addr().unwrap()) };
            assert_eq!(owner(&ends), Some(me), "{ends:?}");
            drop(client);
            // Its end may be there still, but nobody's.
            assert_eq!(owner(&ends), None, "{ends:?}");
        }
    }

    #[test]
    fn only_a_socket_that_somebody_has_counts() {
        let ends =
            Ends { peer: "127.0.0.1:49152".parse().unwrap(), local: "127.0.0.1:10090".parse().unwrap() };
        let [from, to] = [ends.peer, ends.local].map(|end| written(end, false));
        let row = |from: &str, to: &str, state: &str, inode: u32| {
            format!(
                "   7: {from} {to} {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0\n"
            )
        };
        let found = |row: String| find(row.as_bytes(), &ends);
        assert_eq!(found(row(&from, &to, "01", 9)), Some(1000));
        assert_eq!(found(row(&from, &to, "01", 0)), None, "orphaned");
        assert_eq!(found(row(&from, &to, "06", 0)), None, "TIME_WAIT");
        assert_eq!(found(row(&to, &from, "01", 9)), None, "this end");
        let [from, to] = [ends.peer, ends.local].map(|end| written(end, true));
        assert_eq!(found(row(&from, &to, "01", 9)), Some(1000), "a socket of IPv6");
    }
}
