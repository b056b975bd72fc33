//! The other end of the notification socket.

use std::collections::HashMap;
use std::io::{IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::harness::{MAX_WAIT, Setup};

/// Listens to one server.
pub(crate) struct Ears {
    socket: UnixDatagram,
    home: TempDir,
}

/// One message: its lines by name, and the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Message {
    fields: HashMap<String, String>,
    descriptors: Vec<OwnedFd>,
    pub(crate) at: Instant,
}

impl Ears {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        Self { socket, home }
    }

    /// On an existing socket.
    pub(crate) fn on(socket: UnixDatagram) -> Self {
        Self { socket, home: tempfile::tempdir().unwrap() }
    }

    /// Fills the socket with messages `FILL=1`, so that no other fits before one of them is read.
    pub(crate) fn fill(&self) {
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"FILL=1", self.home.path().join("notify")).is_ok() {}
    }

    /// `setup`, with the variables that systemd would set.
    pub(crate) fn of(&self, setup: Setup) -> Setup {
        setup.env("NOTIFY_SOCKET", self.home.path().join("notify").to_str().unwrap())
    }

    /// Makes a command send its notifications here.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.home.path().join("notify"));
    }

    /// The next message, if one comes within `max_wait`.
    pub(crate) fn hear_within(&self, max_wait: Duration) -> Option<Message> {
        self.socket.set_read_timeout(Some(max_wait.max(Duration::from_millis(1)))).unwrap();
        self.receive().ok()
    }

    /// The next message for which `wanted` is true; skips earlier ones.
    #[track_caller]
    pub(crate) fn hear(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.hear_within(left).unwrap_or_else(|| panic!("never heard {what}"));
            if wanted(&message) {
                return message;
            }
        }
    }

    /// All messages within `time`.
    pub(crate) fn listen(&self, time: Duration) -> Vec<Message> {
        let end = Instant::now() + time;
        let next = || self.hear_within(end.saturating_duration_since(Instant::now()));
        std::iter::from_fn(next).take_while(|message| message.at < end).collect()
    }

    fn receive(&self) -> Result<Message> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); 256];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        let text = std::str::from_utf8(&bytes[..received.bytes]).unwrap();
        let fields = text.lines().map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        Ok(Message { fields: fields.collect(), descriptors, at: Instant::now() })
    }
}

impl Message {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The address that the one socket in it listens on.
    pub(crate) fn listens_on(self) -> SocketAddr {
        let [descriptor] = <[OwnedFd; 1]>::try_from(self.descriptors).unwrap();
        TcpListener::from(descriptor).local_addr().unwrap()
    }
}
