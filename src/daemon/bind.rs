//! The two sockets: clients and management, bound before anything is served.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How often a free pair of ports is looked for when any port will do.
const ATTEMPTS: usize = 64;

/// The bound sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) clients: TcpListener,
    pub(crate) management: TcpListener,
}

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "port {} is already in use on {}, wanted for {what}; is shibudb running already? \
         Stop what uses it, or choose another port", address.port(), address.ip()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} for {what}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds as configured. Port 0 takes any free port, and the management port is 1000 above it all the
/// same, unless it has one of its own.
pub(crate) fn bind(config: &Config) -> Result<Listeners, BindError> {
    let any = config.port == 0 && config.management.port.is_none();
    let mut attempts = if any { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let clients = listen(config.bind, config.port, "clients")?;
        let management_port = if any { above(&clients) } else { Some(config.management_port()) };
        let management = management_port.map(|port| listen(config.management.bind, port, "management"));
        match management {
            Some(Ok(management)) => return Ok(Listeners { clients, management }),
            Some(Err(error)) if attempts == 0 || !matches!(error, BindError::InUse { .. }) => {
                return Err(error);
            }
            // The port found has no free neighbour. Dropping the socket gives the port back.
            Some(Err(_)) | None => {}
        }
    }
}

/// The management port that belongs to an arbitrary client port, if there is one.
fn above(clients: &TcpListener) -> Option<u16> {
    let config = Config { port: clients.local_addr().ok()?.port(), ..Config::default() };
    config.validate().ok().map(|()| config.management_port())
}

fn listen(ip: IpAddr, port: u16, what: &'static str) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(ip, port);
    try_listen(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, what },
        _ => BindError::Other { address, what, source },
    })
}

fn try_listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run that are still winding down are no reason to wait.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
