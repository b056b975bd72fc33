//! A client that hangs up while its session waits for others.
//!
//! Its end of file means only that it will send no more: programs like `nc -N` end their side after the last request
//! and read on. So the remaining work decides:
//!
//! - After a reset there is none: the connection ends at once.
//! - With requests behind the current one, it goes on as before.
//! - With nothing behind it, the session decides whether to send the answer ([`Handler::on_hang_up`]). If so, sending
//!   it is all that remains: the connection gives up its place and keeps the socket for that. If not, as for a login
//!   after which no request can follow, the client is informed, in case it reads.

use rustix::io::Errno;

use super::super::endings::Ending;
use super::super::handler::{Handler, Which};
use super::super::input::Input;
use super::super::token::Token;
use super::super::transport::Then;
use super::{Connection, State, Turn, TurnContext};

/// The remaining work for a client that has hung up.
enum Left {
    /// Everything: it has not hung up.
    Everything,
    /// Requests that it sent earlier.
    Requests,
    /// The answer that it waits for.
    Answer,
    /// Nothing: the connection is broken.
    Nothing(Ending),
}

impl<H: Handler> Connection<H> {
    /// Whether it has given up its place, and only waits for an answer.
    pub(in crate::net) fn has_parted(&self) -> bool {
        self.admission.is_none()
    }

    /// Gives up its place.
    pub(in crate::net) fn part(&mut self) {
        self.admission = None;
    }

    /// Waits for an outcome from elsewhere, and watches the client meanwhile.
    pub(super) fn wait(&mut self) -> Result<Turn, Ending> {
        if !self.hung_up {
            return Ok(Turn::Waits);
        }
        match self.left() {
            Left::Everything | Left::Requests => Ok(Turn::Waits),
            Left::Nothing(ending) => Err(ending),
            Left::Answer => {
                let mut line = Vec::new();
                if self.session.on_hang_up(&mut line) {
                    return Ok(Turn::Parts);
                }
                // The client may not read it any more.
                self.transport.write(&line, Then::More).ok();
                Err(Ending::Client)
            }
        }
    }

    /// Ends what has taken too long. A client that waits for an outcome is informed.
    pub(in crate::net) fn give_up(
        &mut self,
        ending: Ending,
        token: Token,
        context: &mut TurnContext<'_, H>,
    ) -> Turn {
        if self.state != State::Awaiting {
            return Turn::Over(ending);
        }
        let work = self.work.get_or_insert_with(|| context.pool.take());
        self.session.on_timeout(work);
        work.last = Some(ending);
        self.state = State::Sending;
        self.turn(token, context)
    }

    fn left(&self) -> Left {
        // Bytes received before a reset are still readable, so they prove nothing.
        if self.transport.is_broken() {
            return Left::Nothing(Ending::Client);
        }
        let has_request = |input: &Input| H::end_of_request(input.pending(), Which::First).is_some();
        if self.work.as_ref().is_some_and(|work| has_request(&work.input)) {
            return Left::Requests;
        }
        match self.transport.peek_byte() {
            Ok(0) => Left::Answer,
            Ok(_) => Left::Requests,
            Err(Errno::AGAIN | Errno::INTR) => Left::Everything,
            Err(error) => Left::Nothing(Ending::of(error)),
        }
    }
}
