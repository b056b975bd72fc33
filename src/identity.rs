//! Who asks: the name of a user, and the user at the other end of a connection from this machine.
//!
//! Both lookups may block: the name service may use the network, and the kernel's table of sockets has a row for each
//! connection. So each runs on a [thread of its own](lookup) with a bounded queue. A caller waits for at most
//! [`lookup::MAX_WAIT`], and then continues without the answer. The first lookup starts the thread.
//!
//! The results are for history and log only. They never grant or deny access.

mod lookup;
mod sockets;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::control::{Actor, User};
use crate::names::shown;
use crate::owner;
use crate::unpoisoned::Unpoisoned as _;
use lookup::Lookup;
use sockets::Ends;
pub(crate) use sockets::listening_ports;

/// How long a name stays in the cache, and how long a failed or late lookup is not repeated.
const KNOWN_FOR: Duration = Duration::from_secs(300);
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// The most names in the cache.
const MOST_NAMES: usize = 1024;

/// The user whose name is the same on every system.
const ROOT: u32 = 0;

static NAMES: Lookup<u32, Arc<str>> = Lookup::new("user-names", look_up_name);
static OWNERS: Lookup<Ends, u32> = Lookup::new("socket-owners", sockets::owner);

/// The cache of names, with their expiry times.
static KNOWN: LazyLock<Mutex<HashMap<u32, Known>>> = LazyLock::new(Mutex::default);

#[derive(Debug, Clone)]
struct Known {
    name: Option<Arc<str>>,
    until: Instant,
}

/// The actor with the name of its user, if the lookup answers in time.
pub(crate) async fn named(actor: Actor) -> Actor {
    match actor {
        Actor::Process { pid, user } => Actor::Process { pid, user: user_of(user.uid).await },
        other => other,
    }
}

/// The actor with the name of its user, if the cache has it.
pub(crate) fn named_if_known(actor: Actor) -> Actor {
    match actor {
        Actor::Process { pid, user } => {
            let name = known(user.uid).flatten();
            Actor::Process { pid, user: User { name, ..user } }
        }
        other => other,
    }
}

/// The client that has connected from `peer` to `local`, with its user if it is a process of this machine and the
/// lookup answers in time. The connection's `owner` is looked up once and then kept.
pub(crate) async fn of_connection(peer: SocketAddr, local: SocketAddr, owner: &OnceCell<u32>) -> Actor {
    let is_near = peer.ip().is_loopback() || peer.ip() == local.ip();
    if !is_near {
        return Actor::Peer(peer);
    }
    let look_up = async || OWNERS.ask(Ends { peer, local }).await.ok_or(());
    match owner.get_or_try_init(look_up).await {
        Ok(uid) => Actor::Local { peer, user: user_of(*uid).await },
        Err(()) => Actor::Peer(peer),
    }
}

async fn user_of(uid: u32) -> User {
    let name = match known(uid) {
        Some(name) => name,
        None => {
            let name = NAMES.ask(uid).await;
            if name.is_none() {
                // The thread remembers its result, which may be late. Until then no other caller waits.
                remember(uid, None);
            }
            name
        }
    };
    User { uid, name }
}

fn known(uid: u32) -> Option<Option<Arc<str>>> {
    if uid == ROOT {
        return Some(Some("root".into()));
    }
    let known = names().get(&uid).cloned();
    known.filter(|known| Instant::now() < known.until).map(|known| known.name)
}

/// Keeps a name that was found meanwhile, even if a caller has given up waiting for it.
fn remember(uid: u32, name: Option<Arc<str>>) {
    let now = Instant::now();
    let until = now + if name.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
    let mut names = names();
    if name.is_none() && names.get(&uid).is_some_and(|known| now < known.until) {
        return;
    }
    if names.len() >= MOST_NAMES {
        names.clear();
    }
    names.insert(uid, Known { name, until });
}

/// Runs on the lookup thread.
fn look_up_name(uid: &u32) -> Option<Arc<str>> {
    let name = owner::name_of(*uid).map(|name| Arc::from(&*shown(&name)));
    remember(*uid, name.clone());
    name
}

fn names() -> MutexGuard<'static, HashMap<u32, Known>> {
    KNOWN.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_name_is_what_the_system_says_and_known_at_once_from_then_on() {
        // Root needs no lookup; every system has this user.
        const DAEMON: u32 = 1;
        let expected = nix::unistd::User::from_uid(DAEMON.into()).unwrap().map(|user| Arc::from(&*user.name));
        let of = |name| Actor::Process { pid: 7, user: User { uid: DAEMON, name } };
        // It may take longer than the first caller waits.
        while known(DAEMON) != Some(expected.clone()) {
            assert!([of(None), of(expected.clone())].contains(&named(of(None)).await));
        }
        assert_eq!(named_if_known(of(None)), of(expected));
        let root = Actor::Process { pid: 7, user: ROOT.into() };
        assert_eq!(named_if_known(root).to_string(), "pid 7 uid 0 (root)");
    }

    #[tokio::test]
    async fn an_address_elsewhere_is_only_an_address() {
        let [peer, local] = ["192.0.2.7:49152", "192.0.2.1:10090"].map(|end| end.parse().unwrap());
        assert_eq!(of_connection(peer, local, &OnceCell::new()).await, Actor::Peer(peer));
    }

    #[tokio::test]
    async fn the_user_of_a_connection_is_looked_up_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, local) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let owner = OnceCell::new();
        let found = loop {
            // It may take longer than the first caller waits.
            if let Actor::Local { user, .. } = of_connection(peer, local, &owner).await {
                break user.uid;
            }
        };
        assert_eq!(found, nix::unistd::getuid().as_raw());
        // The kernel's table has no such connection any more.
        drop((client, listener));
        let again = of_connection(peer, local, &owner).await;
        assert!(matches!(&again, Actor::Local { user, .. } if user.uid == found), "{again}");
    }

    #[test]
    fn a_name_that_was_found_outlives_a_question_that_was_given_up() {
        const UID: u32 = 4_000_000_001;
        remember(UID, None);
        assert_eq!(known(UID), Some(None));
        remember(UID, Some("zoe".into()));
        remember(UID, None);
        assert_eq!(known(UID), Some(Some("zoe".into())));
    }
}
