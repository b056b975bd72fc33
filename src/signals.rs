//! Unix signals become requests.
//!
//! The effect of each signal is the contract's, section 5. This module never acts itself: it says
//! what arrived and who sent it, as the kernel tells.
//!
//! No signal is lost while the process starts: [`hold`] blocks them as the very first thing, so
//! that one sent before the handlers are in place stays pending, and [`Signals::install`] lets it
//! through once they are. What the kernel does cannot be undone here: a second signal of the same
//! kind that arrives before the first was delivered is merged with it. Nor are more than a handful of one
//! kind kept between two calls of [`Signals::next`], so whoever calls it waits for nothing else.

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
pub enum Action {
    /// SIGUSR1: raise the limit by the configured step.
    Raise,
    /// SIGUSR2: lower it by the step.
    Lower,
    /// SIGHUP: read the config file again.
    Reload,
    /// SIGTERM, SIGINT: stop; a second time, at once.
    Stop,
}

/// A signal that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// What it asks for.
    pub action: Action,
    /// Who sent it.
    pub actor: Actor,
}

/// The signals that we handle are blocked until this is spent.
#[derive(Debug)]
#[must_use = "the signals stay blocked until they are released or handled"]
pub struct Held(());

/// The stream of signals.
pub struct Signals {
    stream: SignalsInfo<WithOrigin>,
}

/// Blocks the signals that we handle. To be called first in `main`, before there are other threads.
///
/// # Errors
/// What the system says; it has no reason to.
pub fn hold() -> io::Result<Held> {
    handled().thread_block()?;
    Ok(Held(()))
}

impl Held {
    /// Lets the signals have their ordinary effect, for commands that are not a daemon.
    ///
    /// # Errors
    /// What the system says; it has no reason to.
    pub fn release(self) -> io::Result<()> {
        Ok(handled().thread_unblock()?)
    }
}

impl Held {
    /// What asks a command to end: an interrupt from the terminal, the terminal's own end, or a TERM. Signals that the
    /// caller has this process ignore, as `nohup` does, stay ignored.
    ///
    /// # Errors
    /// What the system says; it has no reason to.
    pub fn endings(&self) -> io::Result<Endings> {
        let ignored = ignored();
        let is_heard = |signal: &Number| ignored & (1 << (*signal as i32 - 1)) == 0;
        let heard: SigSet =
            [Number::SIGINT, Number::SIGTERM, Number::SIGHUP].into_iter().filter(is_heard).collect();
        Ok(Endings(SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }
}

/// Signals that ask a command to end. Readable when there is one.
#[derive(Debug)]
pub struct Endings(SignalFd);

impl Endings {
    /// Whether one has come since the last look.
    pub fn asked(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

impl AsFd for Endings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The signals that this process ignores, as the kernel tells: bit 0 is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

impl Signals {
    /// Puts the handlers in place and lets through what was held. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the pipe between handler and stream cannot be made.
    pub fn install(held: Held) -> io::Result<Self> {
        let stream = SignalsInfo::new([SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT])?;
        held.release()?;
        Ok(Self { stream })
    }

    /// Waits for the next signal; `None` only if the stream was closed.
    pub async fn next(&mut self) -> Option<Arrival> {
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
        Some(Arrival { action, actor })
    }
}

fn handled() -> SigSet {
    [Number::SIGUSR1, Number::SIGUSR2, Number::SIGHUP, Number::SIGTERM, Number::SIGINT].into_iter().collect()
}
