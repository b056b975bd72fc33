//! The two ports: clients and management, bound before anything is served.
//!
//! Sockets that were handed over ([`handed`]) are used; the rest is bound here.

mod handed;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;

use socket2::{Domain, Protocol, Socket, Type};

use super::advice;
use crate::config::Config;
use crate::server::BACKLOG;
use crate::systemd::{self, Inherited};

use handed::Handed;
pub(crate) use handed::SetAside;

/// The names under which the sockets are kept across a restart.
const CLIENTS: Purpose = Purpose { what: "clients", kept_as: "clients", unit: "shibudb.socket" };
const MANAGEMENT: Purpose =
    Purpose { what: "management", kept_as: "management", unit: "shibudb-management.socket" };

/// How many pairs of ports are tried when any port will do.
const ATTEMPTS: usize = 64;

/// The bound sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) clients: TcpListener,
    pub(crate) management: TcpListener,
    /// A supervisor holds the clients' listener open as well, and the next server takes it over.
    pub(crate) is_shared: bool,
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

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another process listens there.
    #[error(
        "port {} is already in use on {}, needed for {what}; is shibudb already running? Stop the other process, or \
         choose another port", address.port(), address.ip()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
    },
    /// A socket that was handed over is in the way; the process that handed it over holds it, too.
    #[error(
        "cannot listen on {address} for {what}: {handed}, which holds that port; the config file has {address}, \
         expected under the name {} or {}. Make the socket unit (ListenStream=, FileDescriptorName=) match the \
         config file", names[0], names[1]
    )]
    HandedOver {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
        /// What is in the way.
        handed: Box<SetAside>,
        /// The names under which it would have been taken.
        names: [&'static str; 2],
    },
    /// This machine does not have the address, or not yet.
    #[error(
        "cannot listen on {address} for {what}: the address {ip} is not assigned to this host, or not yet; `ip \
         address` lists its addresses", ip = address.ip()
    )]
    NotHere {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} for {what}: {source}{}", advice::of_port(address.port(), source))]
    Other {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A process listens on the Unix socket.
    #[error(
        "another process already listens on {}, needed for management; is shibudb already running? Stop the other \
         process, or configure another socket in [management]", .0.display()
    )]
    SocketInUse(PathBuf),
    /// Another kind of file is at the path of the Unix socket.
    #[error("{} exists and is not a socket; configure another socket in [management]", .0.display())]
    NotASocket(PathBuf),
    /// Anything else about the Unix socket.
    #[error(
        "cannot listen on {} for management: {source}{}", path.display(), advice::of_file(path, source)
    )]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl BindError {
    /// Whether the next start would fail in the same way. An address may become available later, and the process that
    /// uses the port may end.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::HandedOver { .. } | Self::NotASocket(_) => true,
            // A port below 1024, or an address family that the unit does not allow.
            Self::Other { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::InUse { .. } | Self::NotHere { .. } | Self::SocketInUse(_) | Self::Socket { .. } => false,
        }
    }
}

/// Takes over the sockets handed over and binds the rest, as configured. Port 0 takes any free port; the
/// management port is then 1000 above it too, unless it is configured.
pub(crate) fn bind(config: &Config, inherited: Vec<Inherited>) -> Result<Listeners, BindError> {
    let mut inherited = Handed::sort(inherited);
    let clients = inherited.take(CLIENTS, SocketAddr::new(config.bind, config.port));
    let management =
        inherited.take(MANAGEMENT, SocketAddr::new(config.management.bind, config.management_port()));
    let set_aside = inherited.close();
    let bound = match (clients, management) {
        (None, None) => bind_pair(config),
        (clients, management) => bind_missing(config, clients, management),
    };
    let listeners = bound.map_err(|error| set_aside.blame(error))?;
    systemd::keep(CLIENTS.kept_as, &listeners.clients);
    systemd::keep(MANAGEMENT.kept_as, &listeners.management);
    Ok(listeners)
}

impl Purpose {
    fn is_called(self, name: &str) -> bool {
        name == self.kept_as || self.is_of_unit(name)
    }

    /// Whether it is the name of the socket unit, or of that of an instance: `shibudb@7070.socket`.
    fn is_of_unit(self, name: &str) -> bool {
        let Some(stem) = self.unit.strip_suffix(".socket") else { return name == self.unit };
        let Some(instance) = name.strip_suffix(".socket").and_then(|name| name.strip_prefix(stem)) else {
            return false;
        };
        instance.is_empty() || instance.starts_with('@')
    }
}

fn bind_missing(
    config: &Config,
    clients: Option<TcpListener>,
    management: Option<TcpListener>,
) -> Result<Listeners, BindError> {
    Ok(Listeners {
        is_shared: clients.is_some(),
        clients: clients.map_or_else(|| listen(config.bind, config.port, CLIENTS), Ok)?,
        management: management
            .map_or_else(|| listen(config.management.bind, config.management_port(), MANAGEMENT), Ok)?,
    })
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
            Some(Ok(management)) => return Ok(Listeners { clients, management, is_shared: false }),
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
        io::ErrorKind::AddrNotAvailable => BindError::NotHere { address, what },
        _ => BindError::Other { address, what, source },
    })
}

fn try_listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Do not wait for connections of an earlier run that are still closing.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
