//! The owner of the other end of a TCP connection from this machine, and the ports that have a listener, from the
//! kernel's tables of sockets.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::str::SplitWhitespace;

/// The table of each family. A client may use a socket of either for an IPv4 address.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The most bytes to read of a table: enough for more than 400,000 sockets.
const LONGEST_TABLE: u64 = 64 << 20;

/// The states of a socket that a process still owns: connected, or with one direction closed.
const OWNED: [&str; 4] = ["01", "04", "05", "08"];

/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// The two addresses of a connection: that of the client, and that of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// A row of a table: one socket.
struct Row<'a> {
    local: &'a str,
    remote: &'a str,
    state: &'a str,
    /// The fields after the state.
    rest: SplitWhitespace<'a>,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut cells = line.split_whitespace();
        let (_number, local, remote, state) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        Some(Self { local, remote, state, rest: cells })
    }

    /// The user of the process that owns it.
    fn owner(mut self) -> Option<u32> {
        let uid = self.rest.nth(3)?.parse().ok()?;
        // The table lists root as the owner of a socket that no process owns any more.
        let inode = self.rest.nth(1)?;
        (inode != "0").then_some(uid)
    }

    /// The port, if it listens.
    fn listens_on(&self) -> Option<u16> {
        let (_, port) = self.local.rsplit_once(':')?;
        if self.state == LISTENS { u16::from_str_radix(port, 16).ok() } else { None }
    }
}

/// The lines of every table that can be read.
fn lines() -> impl Iterator<Item = String> {
    let tables = TABLES.into_iter().filter_map(|table| File::open(table).ok());
    tables.flat_map(|table| BufReader::new(table.take(LONGEST_TABLE)).lines().map_while(Result::ok))
}

/// The user id of the process at the other end. Reads the whole table, if need be.
pub(super) fn owner(ends: &Ends) -> Option<u32> {
    find(lines(), ends)
}

/// The ports of this machine that have a listener. A connection to test a port would count against its server's limit.
pub(crate) fn listening_ports() -> BTreeSet<u16> {
    lines().filter_map(|line| Row::parse(&line)?.listens_on()).collect()
}

fn find(mut table: impl Iterator<Item = String>, Ends { peer, local }: &Ends) -> Option<u32> {
    let [ours, theirs] = [local, peer].map(|end| (written(*end, false), written(*end, true)));
    // The row of the other end, from its point of view.
    let is_of = |row: &Row<'_>| {
        (row.local == theirs.0 && row.remote == ours.0) || (row.local == theirs.1 && row.remote == ours.1)
    };
    table.find_map(|line| Row::parse(&line).filter(|row| is_of(row) && OWNED.contains(&row.state))?.owner())
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
            // The end may still exist, but without an owner.
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
                "   7: {from} {to} {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0"
            )
        };
        let found = |row: String| find(std::iter::once(row), &ends);
        assert_eq!(found(row(&from, &to, "01", 9)), Some(1000));
        assert_eq!(found(row(&from, &to, "01", 0)), None, "orphaned");
        assert_eq!(found(row(&from, &to, "06", 0)), None, "TIME_WAIT");
        assert_eq!(found(row(&to, &from, "01", 9)), None, "this end");
        let [from, to] = [ends.peer, ends.local].map(|end| written(end, true));
        assert_eq!(found(row(&from, &to, "01", 9)), Some(1000), "a socket of IPv6");
    }
}
