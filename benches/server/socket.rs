//! Connections to a server, from many addresses of this host, so that ports never run out.
//!
//! A closed connection blocks its pair of addresses and ports for a minute. So each connection of this process has
//! another source: a port of its own, and when those are used up another address of 127.0.1.1 to 127.0.1.200. That
//! lasts for ten million connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 48_000;
const ADDRESSES: u32 = 200;

/// How many sources are tried: other processes may use some of them.
const ATTEMPTS: usize = 200;

/// The longest time that a connection within this host may take to be established.
const MAX_WAIT: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Begins at another source than the last run, whose connections may still be blocked.
pub(crate) fn shuffle() {
    NEXT.store(std::process::id().wrapping_mul(7919) % (PORTS * ADDRESSES), Ordering::Relaxed);
}

/// Begins to connect, without waiting for the result: the socket becomes writable then.
pub(crate) fn begin(server: SocketAddr) -> io::Result<TcpStream> {
    let mut last = Errno::ADDRNOTAVAIL;
    for _ in 0..ATTEMPTS {
        match attempt(server, source()) {
            Ok(socket) => return Ok(socket.into()),
            Err(error @ (Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)) => last = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

/// Connects. Reads and writes block, as std does by default.
pub(crate) fn open(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = begin(server)?;
    let max_wait = Timespec { tv_sec: MAX_WAIT.as_secs() as i64, tv_nsec: 0 };
    let mut waiting = [PollFd::new(&socket, PollFlags::OUT)];
    if poll(&mut waiting, Some(&max_wait))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(socket)
}

fn attempt(server: SocketAddr, source: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &source)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn source() -> SocketAddrV4 {
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS * ADDRESSES);
    let (address, port) = (number / PORTS, FIRST_PORT + number % PORTS);
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, 1 + address as u8), port as u16)
}
