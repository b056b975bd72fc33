//! The two ports: clients and management, bound before anything is served.
//!
//! A socket may have been handed over: by a socket unit, or by the run before this one, which had
//! systemd keep it. It is taken if it is for the address that is configured, so that no connection
//! is refused across a restart; if not, it is closed, and systemd is told to forget it. Systemd does so when it
//! gets round to it, and until then its own copy would be in the way of an address that overlaps; so what this
//! server has had kept stops listening, in every copy, before the new address is bound.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;

use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{Shutdown, shutdown};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::systemd::{self, Inherited};

/// The names under which the sockets are kept across a restart.
const CLIENTS: Purpose = Purpose { what: "clients", kept_as: "clients", unit: "shibudb.socket" };
const MANAGEMENT: Purpose =
    Purpose { what: "management", kept_as: "management", unit: "shibudb-management.socket" };

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

/// What a socket is for, and the names under which it may be handed over.
#[derive(Debug, Clone, Copy)]
struct Purpose {
    what: &'static str,
    /// In the file-descriptor store.
    kept_as: &'static str,
    /// From a socket unit: systemd names a socket after its unit.
    unit: &'static str,
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
    /// Somebody listens on the Unix socket.
    #[error(
        "somebody listens on {} already, wanted for management; is shibudb running already? \
         Stop what uses it, or configure another socket in [management]", .0.display()
    )]
    SocketInUse(PathBuf),
    /// Something else stands where the Unix socket is to be.
    #[error("{} is not a socket, and stays; configure another socket in [management]", .0.display())]
    NotASocket(PathBuf),
    /// Anything else about the Unix socket.
    #[error("cannot listen on {path} for management: {source}", path = path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes what was handed over and binds the rest, as configured. Port 0 takes any free port, and the
/// management port is 1000 above it all the same, unless it has one of its own.
pub(crate) fn bind(config: &Config, inherited: Vec<Inherited>) -> Result<Listeners, BindError> {
    let mut inherited = Handed::sort(inherited);
    let clients = inherited.take(CLIENTS, SocketAddr::new(config.bind, config.port));
    let management =
        inherited.take(MANAGEMENT, SocketAddr::new(config.management.bind, config.management_port()));
    drop(inherited);
    let listeners = match (clients, management) {
        (None, None) => bind_pair(config)?,
        (clients, management) => Listeners {
            clients: clients.map_or_else(|| listen(config.bind, config.port, CLIENTS), Ok)?,
            management: management
                .map_or_else(|| listen(config.management.bind, config.management_port(), MANAGEMENT), Ok)?,
        },
    };
    systemd::keep(CLIENTS.kept_as, &listeners.clients);
    systemd::keep(MANAGEMENT.kept_as, &listeners.management);
    Ok(listeners)
}

/// What was handed over and not yet taken. The rest is closed when it is dropped.
struct Handed(Vec<Inherited>);

impl Handed {
    /// Sets aside what is no listener or is not for us.
    fn sort(inherited: Vec<Inherited>) -> Self {
        Self(
            inherited
                .into_iter()
                .filter(|Inherited { name, listener }| {
                    let known = CLIENTS.is_called(name) || MANAGEMENT.is_called(name);
                    let is_listener = listener.local_addr().is_ok() && is_listening(listener);
                    if !known || !is_listener {
                        tracing::warn!(
                            name,
                            "a descriptor named {name} was handed over; it is not for us, and closed"
                        );
                        systemd::forget(name);
                    }
                    known && is_listener
                })
                .collect(),
        )
    }

    /// Takes the socket that is for this purpose and this address. What is for the purpose but for
    /// another address is closed, here and in systemd's store.
    fn take(&mut self, purpose: Purpose, wanted: SocketAddr) -> Option<TcpListener> {
        let mut taken = None;
        let ours = self.0.extract_if(.., |inherited| purpose.is_called(&inherited.name)).collect::<Vec<_>>();
        // A socket unit's socket is kept, too, once it is taken. It goes on listening: the unit watches it.
        let of_unit: Vec<_> = ours
            .iter()
            .filter(|inherited| inherited.name == purpose.unit)
            .filter_map(|inherited| inherited.listener.local_addr().ok())
            .collect();
        for Inherited { name, listener } in ours {
            match listener.local_addr() {
                Ok(address) if address == wanted && taken.is_none() && is_usable(&listener) => {
                    tracing::info!(%address, name, "listening on {address} for {}, as handed over", purpose.what);
                    taken = Some(listener);
                }
                Ok(address) if address != wanted => {
                    tracing::warn!(%address, %wanted, name,
                        "a socket for {address} was handed over, but {wanted} is configured; it is closed");
                    systemd::forget(&name);
                    if name == purpose.kept_as && !of_unit.contains(&address) {
                        stop_listening(&listener);
                    }
                }
                // The same socket from the socket unit and from the store.
                _ => {}
            }
        }
        taken
    }
}

impl Purpose {
    fn is_called(self, name: &str) -> bool {
        name == self.kept_as || name == self.unit
    }
}

/// Whether connections can come in, as opposed to a socket that is a connection itself.
fn is_listening(listener: &TcpListener) -> bool {
    socket_acceptconn(listener).unwrap_or(false)
}

/// Takes the port from under every copy of a socket, whoever holds it.
fn stop_listening(listener: &TcpListener) {
    if let Err(error) = shutdown(listener, Shutdown::Both) {
        tracing::warn!(%error, "cannot stop listening on a socket that is not used any more");
    }
}

/// Whether a socket can be listened on without waiting.
fn is_usable(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).is_ok()
}

fn bind_pair(config: &Config) -> Result<Listeners, BindError> {
    let any = config.port == 0 && config.management.port.is_none();
    let mut attempts = if any { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let clients = listen(config.bind, config.port, CLIENTS)?;
        let management_port = if any { above(&clients) } else { Some(config.management_port()) };
        let management = management_port.map(|port| listen(config.management.bind, port, MANAGEMENT));
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

fn listen(ip: IpAddr, port: u16, Purpose { what, .. }: Purpose) -> Result<TcpListener, BindError> {
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
