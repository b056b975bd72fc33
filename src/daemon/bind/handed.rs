//! Sockets that were handed over: by a socket unit, or by the previous run, which had systemd keep them.
//!
//! A socket for the configured address is taken, so that no connection is refused across a restart;
//! any other is closed, and systemd is asked to drop it. Systemd does so with a delay, and until
//! then its own copy would block an overlapping address; so a socket that this server has had kept stops
//! listening, in every copy, before the new address is bound. A socket unit's copy goes on listening. If that
//! blocks the address, the error names it.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::net::{Shutdown, shutdown};

use super::{BindError, CLIENTS, MANAGEMENT, Purpose};
use crate::systemd::{self, Descriptor, Inherited};

/// The sockets that were handed over and not yet taken.
pub(super) struct Handed {
    listeners: Vec<Listener>,
    set_aside: Vec<SetAside>,
}

struct Listener {
    name: String,
    socket: TcpListener,
    address: SocketAddr,
}

/// A socket that was handed over and closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetAside {
    name: String,
    address: SocketAddr,
}

/// All sockets that were handed over and closed.
pub(super) struct AllSetAside(Vec<SetAside>);

impl Handed {
    /// Sets aside what is no listener or not meant for this server.
    pub(super) fn sort(inherited: Vec<Inherited>) -> Self {
        let mut sorted = Self { listeners: Vec::new(), set_aside: Vec::new() };
        for Inherited { name, descriptor } in inherited {
            let known = CLIENTS.is_called(&name) || MANAGEMENT.is_called(&name);
            match descriptor {
                Descriptor::Listener(socket, address) if known => {
                    sorted.listeners.push(Listener { name, socket, address });
                }
                Descriptor::Listener(_, address) => {
                    tracing::warn!(name, %address,
                        "a socket for {address} was handed over under the unknown name {name:?}; it is closed");
                    systemd::forget(&name);
                    sorted.set_aside.push(SetAside { name, address });
                }
                Descriptor::Other(what) => {
                    tracing::warn!(
                        name,
                        what,
                        "a descriptor was handed over under the name {name:?}, but it is {what}; it is closed"
                    );
                    systemd::forget(&name);
                }
            }
        }
        sorted
    }

    /// Takes the socket for this purpose and this address. A socket for the purpose but for
    /// another address is closed, here and in systemd's store.
    pub(super) fn take(&mut self, purpose: Purpose, wanted: SocketAddr) -> Option<TcpListener> {
        let mut taken = None;
        let ours =
            self.listeners.extract_if(.., |handed| purpose.is_called(&handed.name)).collect::<Vec<_>>();
        // A socket unit's socket is kept, too, once it is taken. It goes on listening: the unit watches it.
        let of_unit: Vec<_> = ours
            .iter()
            .filter(|handed| purpose.is_of_unit(&handed.name))
            .map(|handed| handed.address)
            .collect();
        for Listener { name, socket, address } in ours {
            if address == wanted {
                // The same socket may come from the socket unit and from the store.
                if taken.is_none() && is_usable(&socket) {
                    tracing::info!(%address, name, "listening on {address} for {}, as handed over under the name {name}",
                        purpose.what);
                    taken = Some(socket);
                }
                continue;
            }
            tracing::warn!(%address, %wanted, name,
                "a socket for {address} was handed over under the name {name}, but {wanted} is configured; \
                 it is closed");
            systemd::forget(&name);
            if name == purpose.kept_as && !of_unit.contains(&address) {
                stop_listening(&socket);
            }
            self.set_aside.push(SetAside { name, address });
        }
        taken
    }

    /// Closes the sockets that were not taken.
    pub(super) fn close(self) -> AllSetAside {
        AllSetAside(self.set_aside)
    }
}

impl AllSetAside {
    /// Names a socket that was set aside in the error, if it is the cause.
    pub(super) fn blame(self, error: BindError) -> BindError {
        let BindError::InUse { address, what } = error else { return error };
        let in_the_way = self.0.into_iter().find(|handed| overlap(handed.address, address));
        match in_the_way {
            None => BindError::InUse { address, what },
            Some(handed) => {
                let purpose = if what == CLIENTS.what { CLIENTS } else { MANAGEMENT };
                BindError::HandedOver {
                    address,
                    what,
                    handed: Box::new(handed),
                    names: [purpose.kept_as, purpose.unit],
                }
            }
        }
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a socket for {} was handed over under the name {:?}", self.address, self.name)
    }
}

/// Whether a listener on one address prevents one on the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

/// Whether an address stands for every address, those of the other one's family included.
fn covers(any: IpAddr, ip: IpAddr) -> bool {
    // An IPv6 listener is also reached over IPv4.
    any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4())
}

/// Stops listening in every copy of a socket, in whichever process.
fn stop_listening(listener: &TcpListener) {
    if let Err(error) = shutdown(listener, Shutdown::Both) {
        tracing::warn!(%error, "cannot close an unused listening socket: {error}");
    }
}

/// Whether a socket can be listened on without waiting.
fn is_usable(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_unit_of_an_instance_is_known_by_its_name() {
        for (name, known) in [
            ("shibudb.socket", true),
            ("shibudb@7070.socket", true),
            ("clients", true),
            ("shibudb-management.socket", false),
            ("shibudb-management@7070.socket", false),
            ("shibudbx.socket", false),
            ("shibudb@7070.service", false),
        ] {
            assert_eq!(CLIENTS.is_called(name), known, "{name}");
        }
        assert!(MANAGEMENT.is_called("shibudb-management@7070.socket"));
    }

    #[test]
    fn addresses_overlap_if_one_is_the_other_or_stands_for_it() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
