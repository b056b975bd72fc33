//! The conversation with systemd, or with whoever started us and speaks its protocol.
//!
//! Without `NOTIFY_SOCKET` every message goes nowhere, silently: that is how sd_notify(3) has it.
//! `shibudb start` listens on such a socket too, so there is one notion of being ready.

use std::borrow::Cow;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use sd_notify::NotifyState;

/// Tells `shibudb start` the port that clients reach; systemd ignores names beginning with `X_`.
pub const PORT: &str = "X_SHIBUDB_PORT";
/// The port of the management API, likewise.
pub const MANAGEMENT_PORT: &str = "X_SHIBUDB_MANAGEMENT_PORT";
/// The limit to begin with, likewise.
pub const LIMIT: &str = "X_SHIBUDB_LIMIT";
/// Why the start failed, likewise.
pub const ERROR: &str = "X_SHIBUDB_ERROR";

/// A listener that was handed over: by a socket unit, or by an earlier run through the
/// file-descriptor store.
#[derive(Debug)]
pub struct Inherited {
    /// The name it was handed over under.
    pub name: String,
    /// The socket.
    pub listener: TcpListener,
}

/// Takes over the listeners that were handed to this process. To be called once, since it takes
/// ownership.
#[must_use]
pub fn inherited() -> Vec<Inherited> {
    let descriptors = match sd_notify::listen_fds_with_names() {
        Ok(descriptors) => descriptors,
        Err(error) => {
            tracing::warn!(%error, "cannot tell which descriptors were handed over; they are not used");
            return Vec::new();
        }
    };
    descriptors
        .map(|(descriptor, name)| {
            #[expect(unsafe_code, reason = "sd_listen_fds(3): these numbers are ours, and asked for once")]
            // SAFETY: LISTEN_PID says that the descriptor was opened for this process, and nobody
            // else in it has heard of the number.
            let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
            Inherited { name, listener: descriptor.into() }
        })
        .collect()
}

/// Has systemd keep a socket for the next start, so that nobody is refused in between.
pub fn keep(name: &str, listener: &TcpListener) {
    let state = [NotifyState::FdStore, NotifyState::FdName(name)];
    if let Err(error) = sd_notify::notify_with_fds(&state, &[listener.as_fd()]) {
        tracing::debug!(%error, name, "cannot have a socket kept");
    }
}

/// Has systemd forget the sockets it keeps under a name.
pub fn forget(name: &str) {
    send(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// How often systemd wants to hear that all is well; `None` if it does not.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// All is well.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The start goes on, and `status` says so; it may take so much longer from now.
pub fn starting(status: &str, more_time: Option<Duration>) {
    let status = one_line(status);
    let mut state = vec![NotifyState::Status(&status)];
    state.extend(more_time.map(more));
    send(&state);
}

/// Everything is open and bound.
pub fn ready(port: u16, management_port: u16, limit: u32, status: &str) {
    let facts = [
        format!("{PORT}={port}"),
        format!("{MANAGEMENT_PORT}={management_port}"),
        format!("{LIMIT}={limit}"),
    ];
    let [port, management_port, limit] = &facts;
    send(&[
        NotifyState::Custom(port),
        NotifyState::Custom(management_port),
        NotifyState::Custom(limit),
        NotifyState::Status(&one_line(status)),
        NotifyState::Ready,
    ]);
}

/// The start has failed.
pub fn failed(error: &str) {
    let error = one_line(error);
    send(&[NotifyState::Status(&error), NotifyState::Custom(&format!("{ERROR}={error}"))]);
}

/// What `systemctl status` shows.
pub fn status(text: &str) {
    send(&[NotifyState::Status(&one_line(text))]);
}

/// A reload begins. Without the time stamp systemd would wait for it for ever.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd of the reload: no monotonic clock"),
    }
}

/// The reload is over, whatever became of it; `problem` is why it changed nothing.
pub fn reloaded(problem: Option<&str>) {
    match problem {
        None => send(&[NotifyState::Ready]),
        Some(problem) => send(&[NotifyState::Status(&one_line(problem)), NotifyState::Ready]),
    }
}

/// The server drains, and `status` says so.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
}

/// Ending may take this much longer from now.
pub fn extend_timeout(by: Duration) {
    send(&[more(by)]);
}

fn more(time: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}

/// A line break would begin another message.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { text.replace('\n', "; ").into() } else { text.into() }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot reach the notification socket");
    }
}
