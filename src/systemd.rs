//! The protocol with systemd, or with any other parent process that speaks it.
//!
//! Without `NOTIFY_SOCKET` every message is dropped silently, as sd_notify(3) specifies. `shibudb start` listens on
//! such a socket too, so there is one notion of being ready.
//!
//! Nothing here waits for the receiver: messages are handed to a thread of their own ([`notify`]), which sends them in
//! order and retries when the socket is full. Inherited descriptors are taken over before this process opens any of its
//! own ([`inherited()`]).

mod inherited;
mod notify;

use std::borrow::Cow;
use std::fmt;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use sd_notify::NotifyState;

pub(crate) use inherited::{Descriptor, InheritError, Inherited, inherited};
use notify::{Kind, Message};

/// While it drains, and during a slow start, the daemon asks systemd this often for more time, and for this much.
/// Short, so that systemd does not wait long for a daemon that hangs.
pub(crate) const ASK_FOR_TIME: Duration = Duration::from_secs(5);
pub(crate) const MORE_TIME: Duration = Duration::from_secs(15);

/// Tells `shibudb start` the port that clients reach; systemd ignores names beginning with `X_`.
pub(crate) const PORT: &str = "X_SHIBUDB_PORT";
/// The port of the management API, likewise.
pub(crate) const MANAGEMENT_PORT: &str = "X_SHIBUDB_MANAGEMENT_PORT";
/// The initial limit, likewise.
pub(crate) const LIMIT: &str = "X_SHIBUDB_LIMIT";
/// The reason if that limit is not the configured one, likewise.
pub(crate) const OTHER_LIMIT: &str = "X_SHIBUDB_OTHER_LIMIT";
/// Why the start failed, likewise.
pub(crate) const ERROR: &str = "X_SHIBUDB_ERROR";

/// The longest text of a status or an error, in bytes: systemd ignores messages of more than 4096.
const LONGEST_TEXT: usize = 1900;

/// The longest watchdog interval; a longer one is shortened to it.
const LONGEST_WATCHDOG: Duration = Duration::from_secs(24 * 60 * 60);

/// Has systemd keep a socket for the next start, so that no client is refused in between.
pub(crate) fn keep(name: &str, listener: &TcpListener) {
    // Not worth a log line: without the notification socket there is no manager to keep it.
    match listener.try_clone() {
        Ok(copy) => {
            let message = Message::new(Kind::Keep, &[NotifyState::FdStore, NotifyState::FdName(name)]);
            notify::post(message.with(copy.into()));
        }
        Err(error) => {
            tracing::warn!(%error, name, "cannot hand the socket {name} to systemd for the next start: {error}")
        }
    }
}

/// Whether there is a service manager, which may keep sockets for the next start.
#[must_use]
pub(crate) fn keeps_sockets() -> bool {
    notify::has_receiver()
}

/// Has systemd forget the sockets it keeps under a name.
pub(crate) fn forget(name: &str) {
    notify::post(Message::new(Kind::Forget, &[NotifyState::FdStoreRemove, NotifyState::FdName(name)]));
}

/// How often systemd expects a watchdog ping; `None` if it expects none, or the value is not a number.
#[must_use]
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let interval = std::env::var_os("WATCHDOG_USEC")?;
    // The variable is for another process, whose environment we inherited.
    if std::env::var_os("WATCHDOG_PID").is_some_and(|pid| pid != *std::process::id().to_string()) {
        return None;
    }
    match interval.to_str().and_then(|interval| interval.parse().ok()) {
        // sd_watchdog_enabled(3) accepts none of these.
        Some(0 | u64::MAX) | None => {
            tracing::warn!(
                ?interval,
                "WATCHDOG_USEC is {interval:?}, so the watchdog is off: expected a number of microseconds"
            );
            None
        }
        Some(microseconds) => Some(Duration::from_micros(microseconds).min(LONGEST_WATCHDOG)),
    }
}

/// Sends a watchdog ping. It is dropped once `valid` is over.
pub(crate) fn alive(valid: Duration) {
    notify::alive(valid);
}

/// Reports progress of the start as `status`; it may take this much longer from now.
pub(crate) fn starting(status: &str, more_time: Option<Duration>) {
    notify::starting(one_line(status).into_owned(), more_time);
}

/// Reports that the server is ready, with the initial limit and the reason if it is not the configured one.
pub(crate) fn ready(port: u16, management_port: u16, (limit, why): (u32, Option<String>), status: &str) {
    let mut facts = format!("{PORT}={port}\n{MANAGEMENT_PORT}={management_port}\n{LIMIT}={limit}");
    if let Some(why) = why {
        facts = format!("{facts}\n{OTHER_LIMIT}={}", one_line(&why));
    }
    let status = one_line(status);
    let state = [NotifyState::Custom(&facts), NotifyState::Status(&status), NotifyState::Ready];
    notify::post(Message::new(Kind::Ready, &state));
}

/// The start has failed.
pub(crate) fn failed(error: impl fmt::Display) {
    let error = error.to_string();
    let error = one_line(&error);
    let ours = format!("{ERROR}={error}");
    notify::post(Message::new(Kind::Failed, &[NotifyState::Status(&error), NotifyState::Custom(&ours)]));
}

/// What `systemctl status` shows.
pub(crate) fn status(text: &str) {
    notify::status(one_line(text).into_owned());
}

/// A reload begins. Without the time stamp systemd would wait for ever.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify::post(Message::new(Kind::Reloading, &[NotifyState::Reloading, now])),
        Err(error) => {
            tracing::warn!(%error, "cannot tell systemd of the reload: there is no monotonic clock ({error})")
        }
    }
}

/// Reports the end of a reload; `problem` is why it changed nothing, or not everything.
pub(crate) fn reloaded(problem: Option<&str>) {
    let message = match problem {
        None => Message::new(Kind::Reloaded, &[NotifyState::Ready]),
        Some(problem) => {
            Message::new(Kind::Reloaded, &[NotifyState::Status(&one_line(problem)), NotifyState::Ready])
        }
    };
    notify::post(message);
}

/// The server drains; `status` describes how.
pub(crate) fn stopping(status: &str) {
    let status = one_line(status);
    notify::post(Message::new(Kind::Stopping, &[NotifyState::Stopping, NotifyState::Status(&status)]));
}

/// The shutdown may take this much longer from now.
pub(crate) fn extend_timeout(by: Duration) {
    notify::more_time(by);
}

/// Waits until all messages are sent, at most for `longest`.
pub(crate) fn flush(longest: Duration) {
    notify::flush(longest);
}

/// Whether a descriptor of this number is open.
fn is_open(number: RawFd) -> bool {
    #[expect(unsafe_code, reason = "only the number is known, and whether it is open is the question")]
    // SAFETY: F_GETFD reads a flag of the descriptor, if there is one, and nothing else.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0
}

/// Takes over an open descriptor that this process did not open itself.
fn take_over(number: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "sd_listen_fds(3): these numbers are ours, and asked for once")]
    // SAFETY: LISTEN_PID says that the descriptor was opened for this process, which has opened none itself
    // yet and asks once, so nothing else in it uses the number.
    unsafe {
        OwnedFd::from_raw_fd(number)
    }
}

/// A line break would begin another message, and systemd ignores a text that is too long.
fn one_line(text: &str) -> Cow<'_, str> {
    let text = if text.contains('\n') { text.replace('\n', "; ").into() } else { Cow::Borrowed(text) };
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    let end = text.floor_char_boundary(LONGEST_TEXT - "…".len());
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_that_systemd_takes() {
        assert_eq!(one_line("first\nsecond"), "first; second");
        let long = "ä".repeat(LONGEST_TEXT);
        let cut = one_line(&long);
        assert!(cut.len() <= LONGEST_TEXT && cut.ends_with("ä…"), "{}", cut.len());
    }
}
