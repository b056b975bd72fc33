//! Unix signals become requests.
//!
//! The effect of each signal is the contract's, section 5. This module never acts itself: it reports which signal
//! arrived and who sent it, as reported by the kernel.
//!
//! No signal is lost while the process starts: [`hold`] blocks them first of all, so that one sent before the handlers
//! are in place stays pending, and [`Signals::install`] delivers it once they are. What the kernel does cannot be
//! undone here: it merges a second signal of the same kind that arrives before the first was delivered. At most a
//! handful of one kind are kept between two calls of [`Signals::next`], so its caller must wait for nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use futures_util::StreamExt;
use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook_tokio::SignalsInfo;

use crate::control::Actor;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// SIGUSR1: raise the limit by the configured step.
    Raise,
    /// SIGUSR2: lower it by the step.
    Lower,
    /// SIGHUP: read the config file again.
    Reload,
    /// SIGTERM, SIGINT: stop; on the second one, at once.
    Stop,
}

/// A signal that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedSignal {
    /// What it asks for.
    pub action: Action,
    /// Who sent it.
    pub actor: Actor,
}

/// The signals that we handle are blocked until this is consumed.
#[derive(Debug)]
#[must_use = "the signals stay blocked until they are released or handled"]
pub(crate) struct Held(());

/// The stream of signals.
pub(crate) struct Signals {
    stream: SignalsInfo<WithOrigin>,
}

/// Blocks the signals that we handle. Must be called first in `main`, before there are other threads.
///
/// # Errors
/// The system's error; none is expected.
pub(crate) fn hold() -> io::Result<Held> {
    handled().thread_block()?;
    Ok(Held(()))
}

impl Held {
    /// Restores the default effect of the signals, for commands that are not a daemon.
    ///
    /// # Errors
    /// The system's error; none is expected.
    pub(crate) fn release(self) -> io::Result<()> {
        Ok(handled().thread_unblock()?)
    }
}

impl Held {
    /// The signals that ask a command to end: an interrupt from the terminal, a hang-up of the terminal, or a TERM.
    /// Signals that the caller has this process ignore, as `nohup` does, stay ignored.
    ///
    /// # Errors
    /// The system's error; none is expected.
    pub(crate) fn endings(&self) -> io::Result<Endings> {
        let ignored = ignored();
        let is_heard = |signal: &Number| ignored & (1 << (*signal as i32 - 1)) == 0;
        let heard: SigSet =
            [Number::SIGINT, Number::SIGTERM, Number::SIGHUP].into_iter().filter(is_heard).collect();
        Ok(Endings(SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }
}

/// Signals that ask a command to end. Readable when there is one.
#[derive(Debug)]
pub(crate) struct Endings(SignalFd);

impl Endings {
    /// Whether one has arrived since the last check.
    pub(crate) fn asked(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

impl AsFd for Endings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The signals that this process ignores, as reported by the kernel: bit 0 is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Signals {
    /// Installs the handlers and delivers the held signals. Needs a tokio runtime.
    ///
    /// # Errors
    /// The pipe between handler and stream cannot be created.
    pub(crate) fn install(held: Held) -> io::Result<Self> {
        let stream = SignalsInfo::new([SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT])?;
        held.release()?;
        Ok(Self { stream })
    }

    /// Waits for the next signal; `None` only if the stream was closed.
    pub(crate) async fn next(&mut self) -> Option<ReceivedSignal> {
        let origin = self.stream.next().await?;
        let action = match origin.signal {
            SIGUSR1 => Action::Raise,
            SIGUSR2 => Action::Lower,
            SIGHUP => Action::Reload,
            _ => Action::Stop,
        };
        let actor = origin
            .process
            .map_or(Actor::Kernel, |process| Actor::Process { pid: process.pid, user: process.uid.into() });
        Some(ReceivedSignal { action, actor })
    }
}

fn handled() -> SigSet {
    [Number::SIGUSR1, Number::SIGUSR2, Number::SIGHUP, Number::SIGTERM, Number::SIGINT].into_iter().collect()
}
