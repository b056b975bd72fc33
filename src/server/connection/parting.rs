//! A client that hangs up while somebody else works for it.
//!
//! Its end of file says only that it will send no more: programs like `nc -N` end their side after the last request
//! and read on. So what counts is what is left to be done:
//!
//! - After a reset nothing is: the connection ends at once.
//! - With requests behind the one that is worked on, it goes on as before.
//! - With nothing behind a login, the login is given up: a client that can ask nothing gains nothing by being let in.
//!   It is told so, in case it reads.
//! - With nothing behind a commit or an administrator's request, only the answer is left to be sent. The
//!   connection gives its place up and keeps the socket for that.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::task::AbortHandle;

use super::super::counters::RequestOutcome;
use super::super::endings::Ending;
use super::super::mailbox::Token;
use super::{Connection, State, Turn, TurnContext};
use crate::protocol::{Refusal, Reply};

/// What is left for a client that has hung up.
enum Left {
    /// Everything: it has not.
    Everything,
    /// Requests that it had sent before.
    Requests,
    /// The answer that it waits for.
    Answer,
    /// Nothing: the connection is broken.
    Nothing(Ending),
}

impl Connection {
    /// Whether it has given its place up, and only waits for an answer.
    pub(in crate::server) fn has_parted(&self) -> bool {
        self.permit.is_none()
    }

    /// Gives its place up.
    pub(in crate::server) fn part(&mut self) {
        self.permit = None;
    }

    /// Waits for the answer of somebody else, with an eye on the client.
    pub(super) fn wait(&mut self) -> Result<Turn, Ending> {
        if !self.hung_up {
            return Ok(Turn::Waits);
        }
        match self.left() {
            Left::Everything | Left::Requests => Ok(Turn::Waits),
            Left::Nothing(ending) => Err(ending),
            Left::Answer if self.client.account().is_some() => Ok(Turn::Parts),
            Left::Answer => {
                let mut line = Vec::new();
                let words =
                    "the login was not checked: the connection was closed for sending before a request";
                Reply::Refused(Refusal::Other(words.into())).render(&mut line);
                // Nobody may be there to read it.
                send(&self.socket, &line, SendFlags::NOSIGNAL).ok();
                Err(Ending::Client)
            }
        }
    }

    /// Ends what has taken too long. A client that waits for somebody else is told so.
    pub(in crate::server) fn give_up(
        &mut self,
        ending: Ending,
        token: Token,
        context: &mut TurnContext<'_>,
    ) -> Turn {
        if self.state != State::Awaiting {
            return Turn::Over(ending);
        }
        let work = self.work.get_or_insert_with(|| context.pool.take());
        let words = if let Some(login) = work.login.take() {
            login.abort();
            "the login could not be checked in time: too many are waiting, try again later"
        } else {
            for _ in 0..work.submitted.max(1) {
                work.tally.close(RequestOutcome::Error);
            }
            "there was no answer in time: the request may or may not be carried out"
        };
        Reply::Refused(Refusal::Other(words.into())).render(&mut work.output);
        work.last = Some(ending);
        self.state = State::Sending;
        self.turn(token, context)
    }

    /// Remembers the check of a login, to be given up if nobody waits for it any more.
    pub(super) fn remember_login(&mut self, login: AbortHandle, context: &mut TurnContext<'_>) {
        self.work.get_or_insert_with(|| context.pool.take()).login = Some(login);
    }

    fn left(&self) -> Left {
        let now = Timespec::try_from(Duration::ZERO).ok();
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        // What was received before a reset can still be read, and tells nothing.
        if poll(&mut polled, now.as_ref()).is_ok()
            && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
        {
            return Left::Nothing(Ending::Client);
        }
        if self.work.as_ref().is_some_and(|work| work.input.has_line()) {
            return Left::Requests;
        }
        let mut byte = [std::mem::MaybeUninit::<u8>::uninit(); 1];
        match recv(&self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Left::Answer,
            Ok(_) => Left::Requests,
            Err(Errno::AGAIN | Errno::INTR) => Left::Everything,
            Err(error) => Left::Nothing(Ending::of(error)),
        }
    }
}
