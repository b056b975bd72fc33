//! Sockets that outlive the process: handed to systemd, and received again.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, kill_process};

use crate::harness::ears::Ears;
use crate::harness::{Log, Setup, Signal};

#[test]
fn both_sockets_are_given_away_by_name() {
    let ears = Ears::new();
    let server = ears.of(Setup::new()).start();
    for (name, port) in [("clients", server.port()), ("management", server.management_port())] {
        let kept = ears.hear("FDSTORE=1", |message| message.has("FDSTORE"));
        assert_eq!(kept.get("FDNAME"), Some(name));
        assert_eq!(kept.listens_on().port(), port);
    }
}

#[test]
fn a_socket_at_the_configured_address_is_taken() {
    for name in ["clients", "shibudb.socket"] {
        let kept = Handed::new(name);
        let address = kept.address;
        // No server listens yet, but no client is refused either.
        let _early = TcpStream::connect(address).unwrap();
        let server = kept.start(address.port());
        server.log.wait_for(&format!("listening on {address} for clients, as handed over"));
        server.log.wait_for(&format!("ready: clients on {address}"));
    }
}

#[test]
fn a_socket_at_another_address_is_closed_and_forgotten() {
    let kept = Handed::new("clients");
    let (old, new) = (kept.address, free_port());
    let server = kept.start(new);
    server.log.wait_for(&format!("ready: clients on 127.0.0.1:{new}"));
    TcpStream::connect(old).unwrap_err();
    let forgotten = server
        .ears
        .hear("FDSTOREREMOVE=1", |message| message.has("FDSTOREREMOVE"))
        .get("FDNAME")
        .map(str::to_owned);
    assert_eq!(forgotten.as_deref(), Some("clients"));
    // Only then the new one is handed over: both have the same name.
    let given = server.ears.hear("FDSTORE=1", |message| message.get("FDNAME") == Some("clients"));
    assert_eq!(given.listens_on().port(), new);
}

#[test]
fn a_socket_that_systemd_has_not_forgotten_yet_is_not_in_the_way_of_the_new_one() {
    let kept = Handed::new("clients");
    let (old, _copy) = (kept.address, kept.socket.try_clone().unwrap());
    let port = old.port();
    let server = kept.start_with(&format!("bind = \"0.0.0.0\"\nport = {port}\n"));
    server.log.wait_for(&format!("ready: clients on 0.0.0.0:{port}"));
    TcpStream::connect(old).unwrap();
}

#[test]
fn a_socket_of_a_unit_goes_on_listening_for_the_unit() {
    let unit = Handed::new("shibudb.socket");
    let (address, copy) = (unit.address, TcpListener::from(unit.socket.try_clone().unwrap()));
    let server = unit.start(free_port());
    server.log.wait_for("ready: ");
    let _client = TcpStream::connect(address).unwrap();
    copy.accept().unwrap();
}

#[test]
fn a_socket_of_an_unknown_name_is_closed() {
    let kept = Handed::new("somebody-else");
    let old = kept.address;
    let server = kept.start(free_port());
    server.log.wait_for("ready: ");
    TcpStream::connect(old).unwrap_err();
}

#[test]
fn a_socket_that_is_in_the_way_is_named_with_what_is_configured() {
    for (name, address) in
        [("somebody-else", "127.0.0.1"), ("shibudb.socket", "0.0.0.0"), ("shibudb.socket", "::")]
    {
        let port = free_port();
        let listener = TcpListener::bind((address, port)).unwrap();
        let address = listener.local_addr().unwrap();
        // As a socket unit would.
        let _copy = listener.try_clone().unwrap();
        let mut server = Handed { name, socket: listener.into(), address }.start(port);
        let said = server.log.wait_for("Error: ");
        for words in [
            format!("cannot listen on 127.0.0.1:{port} for clients"),
            format!("a socket for {address} was handed over under the name \"{name}\""),
            format!("the config file has 127.0.0.1:{port}"),
            "under the name clients or shibudb.socket".to_owned(),
        ] {
            assert!(said.contains(&words), "{words} is missing in: {said}");
        }
        assert_eq!(server.child.wait().unwrap().code(), Some(78));
    }
}

#[test]
fn a_connection_is_not_mistaken_for_a_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut connection, _) = (listener.accept().unwrap().0, drop(listener));
    let address = client.local_addr().unwrap();
    let server = Handed { name: "clients", socket: client.into(), address }.start(free_port());
    server.log.wait_for("; it is closed");
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    server.log.wait_for("ready: ");
}

/// A socket that waits for a server.
struct Handed {
    name: &'static str,
    socket: OwnedFd,
    address: SocketAddr,
}

/// A server that was given one.
struct Server {
    child: Child,
    log: Log,
    ears: Ears,
    _home: tempfile::TempDir,
}

impl Handed {
    fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let address = listener.local_addr().unwrap();
        Self { name, socket: listener.into(), address }
    }

    /// As systemd does: as descriptor 3, with the process id of the receiver in the environment.
    fn start(self, port: u16) -> Server {
        self.start_with(&format!("port = {port}\n"))
    }

    fn start_with(self, settings: &str) -> Server {
        let (home, ears) = (tempfile::tempdir().unwrap(), Ears::new());
        let config = home.path().join("shibudb.toml");
        fs::write(&config, settings).unwrap();
        let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 \"$@\" 3<&0 </dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", &format!("LISTEN_FDNAMES={}", self.name)]);
        command.arg(Path::new(env!("CARGO_BIN_EXE_shibudb"))).arg("run");
        command.arg("--config").arg(config).arg("--data-dir").arg(home.path().join("data"));
        ears.tell(&mut command);
        let mut child = command.stdin(self.socket).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        Server { child, log, ears, _home: home }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}

/// A free port whose management port is free, too. Below the range for outgoing connections, so that no
/// connection of another test takes it before the server does.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = std::process::id() as u16 % 500 * 40 + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + number % 20_000;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 1000) {
            return port;
        }
    }
}
