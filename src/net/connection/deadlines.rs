//! How long a connection may keep others waiting: for its login, a request, the reading of answers, and for its memory.

use std::time::Duration;

use super::super::budget::Charge;
use super::super::endings::Ending;
use super::super::handler::Handler;
use super::super::settings::ClientSettings;
use super::super::ticks::Ticks;
use super::{Connection, PLENTY, State};

/// How long a client may read nothing of an answer.
const STALLED: Duration = Duration::from_secs(30);

/// How much of a request a client must send, or of its answers it must read, in a second while others wait for its
/// memory.
const LEAST_A_SECOND: u64 = 16 * 1024;

/// How long that is measured. The shorter time applies when not even small requests can be read.
const WATCHED: Duration = Duration::from_secs(2);
const WATCHED_BRIEFLY: Duration = Duration::from_millis(500);

/// How long a session may wait for an outcome before the client gets an error: longer than any disk that recovers.
const LONGEST_OFFLOAD: Duration = Duration::from_secs(120);

impl<H: Handler> Connection<H> {
    /// The reason to end the connection now, if the client has kept us waiting for too long.
    pub(in crate::net) fn overdue(&self, settings: &ClientSettings, now: Ticks) -> Option<Ending> {
        let (longest, ending) = match self.state {
            State::Awaiting if self.is_guest() => {
                let late = now.since(self.connected) > Ticks::count(settings.login_timeout);
                return late.then_some(Ending::LoginTimeout);
            }
            State::Awaiting => (Some(LONGEST_OFFLOAD), Ending::NoAnswer),
            State::Sending => (Some(STALLED), Ending::NotReading),
            State::Listening if self.is_guest() => (Some(settings.login_timeout), Ending::LoginTimeout),
            State::Listening if self.has_begun() || self.kept_waiting => {
                let longest = settings.idle_timeout.unwrap_or(Duration::MAX).min(settings.request_timeout);
                (Some(longest), Ending::TooSlow)
            }
            State::Listening => (settings.idle_timeout, Ending::IdleTimeout),
        };
        // The wait may have begun near the end of a tick: one more, so that no deadline is early.
        longest.is_some_and(|longest| now.since(self.since) > Ticks::count(longest)).then_some(ending)
    }

    /// The reason to end the connection now, and its memory, if it does not progress while others wait for memory. Must
    /// be called repeatedly as long as they do.
    pub(in crate::net) fn gives_way(&mut self, is_exhausted: bool, now: Ticks) -> Option<(Ending, Charge)> {
        let progress = self.bytes_in + self.bytes_out;
        let ending = match self.state {
            State::Awaiting => return None,
            State::Sending => Ending::NotReading,
            State::Listening => Ending::TooSlow,
        };
        let has_begun = self.has_begun();
        let work = self.work.as_mut()?;
        if self.state == State::Listening && (!has_begun || work.unread >= PLENTY) {
            work.mark = None;
            return None;
        }
        let watched = Ticks::count(if is_exhausted { WATCHED_BRIEFLY } else { WATCHED });
        let (since, before) = *work.mark.get_or_insert((now, progress));
        let took = now.since(since);
        if took < watched {
            return None;
        }
        work.mark = Some((now, progress));
        let least = LEAST_A_SECOND * Ticks::duration(took).as_millis() as u64 / 1000;
        (progress - before < least).then_some((ending, work.charged))
    }
}
