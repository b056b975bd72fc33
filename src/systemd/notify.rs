//! The notification socket, and the thread that sends messages on it.
//!
//! The receiver may not read for a while, or never. So only this thread touches the socket, it never blocks in a send,
//! and the queue is bounded: it keeps the newest status, the newest request for time, and one message of each kind
//! about the process' life. Messages are sent in order, and given up after [`LONGEST_TRY`]. A watchdog ping goes first,
//! since it is valid only for a while.
//!
//! The file is long because the queue, its thread and the socket keep these rules together: which message waits, which
//! is replaced and which is given up depends on what the last attempt to send has returned.

use std::collections::VecDeque;
use std::env;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};
use sd_notify::NotifyState;

use crate::unpoisoned::Unpoisoned as _;

/// How long a message is retried: as long as the shipped unit allows a start to take.
const LONGEST_TRY: Duration = Duration::from_secs(5 * 60);

/// How long a request for time is worth sending: after that a newer one exists.
const MORE_TIME_VALID: Duration = Duration::from_secs(5);

/// How long the socket may be full before that is logged.
const GRACE: Duration = Duration::from_secs(5);

/// The pause between two tries. New room in the socket is noticed at once.
const PAUSE: Duration = Duration::from_millis(250);

/// The subject of a message. Of most kinds only the newest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A socket to be kept.
    Keep,
    /// Sockets to forget.
    Forget,
    Ready,
    Reloading,
    Reloaded,
    Stopping,
    Failed,
}

/// A message that must arrive, in order.
#[derive(Debug)]
pub(super) struct Message {
    kind: Kind,
    text: String,
    descriptor: Option<OwnedFd>,
    since: Instant,
}

/// The queue from which the thread takes what it sends.
#[derive(Debug)]
struct Outbox {
    address: SocketAddrUnix,
    state: Mutex<State>,
    arrived: Condvar,
    sent: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Until when a watchdog ping is valid.
    alive: Option<Instant>,
    messages: VecDeque<Message>,
    /// Newer than all messages.
    status: Option<String>,
    /// How much time is requested, and when that was.
    more_time: Option<(Duration, Instant)>,
    /// The thread is sending something that it has taken.
    sending: bool,
    /// The last try failed for another reason than a full socket.
    unreachable: bool,
}

/// What to send next.
#[derive(Debug)]
enum Next {
    Alive(Instant),
    Message(Message),
    Status { status: Option<String>, more_time: Option<(Duration, Instant)> },
}

/// The result of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sent,
    /// The receiver does not read, for now.
    Full,
    /// There is no receiver, for now.
    Unreachable(Errno),
    /// The receiver will never accept this.
    Refused(Errno),
}

/// Failed tries, for the log: one line when they begin, one when they end.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    logged: bool,
}

impl Message {
    pub(super) fn new(kind: Kind, state: &[NotifyState<'_>]) -> Self {
        Self { kind, text: lines(state), descriptor: None, since: Instant::now() }
    }

    pub(super) fn with(self, descriptor: OwnedFd) -> Self {
        Self { descriptor: Some(descriptor), ..self }
    }

    fn has_status(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("STATUS="))
    }
}

/// Sends a message, in order.
pub(super) fn post(message: Message) {
    change(|state| state.post(message));
}

/// Sends this status, unless a newer one replaces it first.
pub(super) fn status(text: String) {
    change(|state| state.status = Some(text));
}

/// Sends this status and a request for time, if any, in one message.
pub(super) fn starting(status: String, more_time: Option<Duration>) {
    change(|state| {
        state.status = Some(status);
        state.more_time = more_time.map(|time| (time, Instant::now())).or(state.more_time);
    });
}

/// Requests this much more time from now.
pub(super) fn more_time(time: Duration) {
    change(|state| state.more_time = Some((time, Instant::now())));
}

/// Sends a watchdog ping, valid for this long.
pub(super) fn alive(valid: Duration) {
    change(|state| state.alive = Some(Instant::now() + valid));
}

/// Waits until all messages are sent, at most for `longest`, and not at all for a receiver that is not there.
pub(super) fn flush(longest: Duration) {
    let Some(outbox) = outbox() else { return };
    let deadline = Instant::now() + longest;
    let mut state = outbox.state();
    while !state.is_done() && !state.unreachable {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = outbox.sent.wait_timeout(state, left).unpoisoned().0;
    }
}

fn change(change: impl FnOnce(&mut State)) {
    let Some(outbox) = outbox() else { return };
    change(&mut outbox.state());
    outbox.arrived.notify_one();
}

/// Whether this process has a notification socket.
pub(super) fn has_receiver() -> bool {
    outbox().is_some()
}

/// The outbox of this process, with its thread; `None` without a notification socket.
fn outbox() -> Option<&'static Outbox> {
    static OUTBOX: OnceLock<Option<Outbox>> = OnceLock::new();
    static THREAD: OnceLock<bool> = OnceLock::new();
    let outbox = OUTBOX.get_or_init(Outbox::from_environment).as_ref()?;
    let has_thread = *THREAD.get_or_init(|| {
        let spawned = thread::Builder::new().name("notify".into()).spawn(|| outbox.run());
        if let Err(error) = &spawned {
            tracing::error!(%error, "cannot send notifications to systemd: cannot start a thread: {error}");
        }
        spawned.is_ok()
    });
    has_thread.then_some(outbox)
}

impl Outbox {
    fn from_environment() -> Option<Self> {
        let value = env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty())?;
        let address = match value.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
            [b'/', ..] => SocketAddrUnix::new(value.as_bytes()),
            _ => Err(Errno::AFNOSUPPORT),
        };
        match address {
            Ok(address) => Some(Self::to(address)),
            Err(error) => {
                tracing::warn!(%error, ?value,
                    "NOTIFY_SOCKET is {value:?}, so no notifications are sent: expected the path of a Unix socket, \
                     or @ and a name: {error}");
                None
            }
        }
    }

    fn to(address: SocketAddrUnix) -> Self {
        Self { address, state: Mutex::default(), arrived: Condvar::new(), sent: Condvar::new() }
    }

    /// Sends messages for as long as the process lives.
    fn run(&self) -> ! {
        let (mut socket, mut trouble) = (None, Trouble::default());
        loop {
            let next = self.take();
            let outcome = send(&mut socket, &self.address, &next);
            trouble.note(outcome);
            self.done(next, outcome);
            match (outcome, &socket) {
                (Outcome::Full, Some(socket)) => wait_for_room(socket),
                (Outcome::Sent | Outcome::Refused(_), _) => {}
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits until there is something to send.
    fn take(&self) -> Next {
        let mut state = self.state();
        loop {
            if let Some(next) = state.next(Instant::now()) {
                return next;
            }
            // Waiting messages may have expired.
            self.sent.notify_all();
            state = self.arrived.wait(state).unpoisoned();
        }
    }

    fn done(&self, next: Next, outcome: Outcome) {
        let mut state = self.state();
        state.sending = false;
        state.unreachable = matches!(outcome, Outcome::Unreachable(_));
        if matches!(outcome, Outcome::Full | Outcome::Unreachable(_)) {
            state.put_back(next);
        }
        drop(state);
        self.sent.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    fn post(&mut self, message: Message) {
        match message.kind {
            // There may be several.
            Kind::Keep | Kind::Forget => {}
            // A process that ends has no use for the socket any more, and must not hold it open.
            Kind::Stopping => self.messages.retain(|waiting| waiting.kind != Kind::Keep),
            kind => self.messages.retain(|waiting| waiting.kind != kind),
        }
        if message.has_status() {
            self.status = None;
        }
        self.messages.push_back(message);
    }

    fn next(&mut self, now: Instant) -> Option<Next> {
        let alive = self.alive.take().filter(|&until| until > now);
        self.messages.retain(|message| now.saturating_duration_since(message.since) < LONGEST_TRY);
        let next = if let Some(until) = alive {
            Next::Alive(until)
        } else if let Some(message) = self.messages.pop_front() {
            Next::Message(message)
        } else {
            let status = self.status.take();
            let is_valid =
                |(_, since): &(_, Instant)| now.saturating_duration_since(*since) < MORE_TIME_VALID;
            let more_time = self.more_time.take().filter(is_valid);
            if status.is_none() && more_time.is_none() {
                return None;
            }
            Next::Status { status, more_time }
        };
        self.sending = true;
        Some(next)
    }

    /// Puts back what could not be sent, unless a newer message replaces it.
    fn put_back(&mut self, next: Next) {
        match next {
            Next::Alive(until) => self.alive = self.alive.or(Some(until)),
            Next::Message(message) => {
                let is_outdated = match message.kind {
                    Kind::Keep => self.has(Kind::Stopping),
                    Kind::Forget => false,
                    kind => self.has(kind),
                };
                if !is_outdated {
                    self.messages.push_front(message);
                }
            }
            Next::Status { status, more_time } => {
                if self.status.is_none() && !self.messages.iter().any(Message::has_status) {
                    self.status = status;
                }
                self.more_time = self.more_time.or(more_time);
            }
        }
    }

    fn has(&self, kind: Kind) -> bool {
        self.messages.iter().any(|message| message.kind == kind)
    }

    /// A watchdog ping is not worth waiting for.
    fn is_done(&self) -> bool {
        !self.sending && self.messages.is_empty() && self.status.is_none() && self.more_time.is_none()
    }
}

impl Next {
    fn text(&self) -> String {
        match self {
            Self::Alive(_) => lines(&[NotifyState::Watchdog]),
            Self::Message(message) => message.text.clone(),
            Self::Status { status, more_time } => {
                let status = status.as_deref().map(NotifyState::Status);
                let more_time = more_time.map(|(time, _)| {
                    let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
                    NotifyState::ExtendTimeoutUsec(microseconds)
                });
                lines(&status.into_iter().chain(more_time).collect::<Vec<_>>())
            }
        }
    }

    fn descriptor(&self) -> Option<&OwnedFd> {
        match self {
            Self::Message(message) => message.descriptor.as_ref(),
            _ => None,
        }
    }
}

/// The wire format. sd-notify has the words; it does not send them without blocking.
fn lines(state: &[NotifyState<'_>]) -> String {
    state.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Tries to send, without blocking. The socket is connected, so that poll can wait for room in it.
fn send(socket: &mut Option<OwnedFd>, address: &SocketAddrUnix, next: &Next) -> Outcome {
    let result = try_send(socket, address, next);
    match result {
        Ok(()) => Outcome::Sent,
        Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::INTR) => Outcome::Full,
        Err(error @ (Errno::MSGSIZE | Errno::TOOMANYREFS | Errno::BADF | Errno::INVAL)) => {
            Outcome::Refused(error)
        }
        Err(error) => {
            // The next process that listens there is a different receiver.
            *socket = None;
            Outcome::Unreachable(error)
        }
    }
}

fn try_send(socket: &mut Option<OwnedFd>, address: &SocketAddrUnix, next: &Next) -> rustix::io::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        None => {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let new = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            connect(&new, address)?;
            socket.insert(new)
        }
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = next.descriptor().map(AsFd::as_fd);
    if let Some(descriptor) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
    }
    let text = next.text();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, flags)?;
    Ok(())
}

/// Waits until the receiver has read something, but not for long: it may have gone.
fn wait_for_room(socket: &OwnedFd) {
    let pause = Timespec::try_from(PAUSE).ok();
    // The next try will report an error.
    if poll(&mut [PollFd::new(socket, PollFlags::OUT)], pause.as_ref()).is_err() {
        thread::sleep(PAUSE);
    }
}

impl Trouble {
    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Sent => {
                let Self { since, logged } = std::mem::take(self);
                if let (Some(since), true) = (since, logged) {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(
                        seconds,
                        "the notification socket accepts messages again, after {seconds} s"
                    );
                }
            }
            Outcome::Refused(error) => {
                tracing::warn!(%error, "the notification socket does not accept a message: {error}");
            }
            Outcome::Full => {
                let since = *self.since.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    self.log(|| {
                        tracing::warn!(
                            "the reader of the notification socket is stalled; pending messages are sent once there \
                             is room"
                        )
                    });
                }
            }
            Outcome::Unreachable(error) => {
                self.since.get_or_insert_with(Instant::now);
                self.log(|| {
                    tracing::warn!(%error,
                    "cannot reach the notification socket; retrying: {error}")
                });
            }
        }
    }

    fn log(&mut self, log: impl FnOnce()) {
        if !std::mem::replace(&mut self.logged, true) {
            log();
        }
    }
}
