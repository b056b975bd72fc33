//! A client that hangs up while its session waits for others.
//!
//! Its end of file says only that it will send no more: programs like `nc -N` end their side after the last request
//! and read on. So what counts is what is left to be done:
//!
//! - After a reset nothing is: the connection ends at once.
//! - With requests behind the one that is worked on, it goes on as before.
//! - With nothing behind it, the session says whether the answer is owed ([`Handler::on_hang_up`]). If it is, sending it
//!   is all that is left to be done: the connection gives its place up and keeps the socket for that. If it is not, as for
//!   a login after which nothing can be asked any more, the client is told so, in case it reads.

use rustix::io::Errno;

use super::super::endings::Ending;
use super::super::handler::{Handler, Which};
use super::super::input::Input;
use super::super::token::Token;
use super::super::transport::Then;
use super::{Connection, State, Turn, TurnContext};

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

impl<H: Handler> Connection<H> {
    /// Whether it has given its place up, and only waits for an answer.
    pub(in crate::net) fn has_parted(&self) -> bool {
        self.admission.is_none()
    }

    /// Gives its place up.
    pub(in crate::net) fn part(&mut self) {
        self.admission = None;
    }

    /// Waits for the answer of somebody else, with an eye on the client.
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
                // Nobody may be there to read it.
                self.transport.write(&line, Then::More).ok();
                Err(Ending::Client)
            }
        }
    }

    /// Ends what has taken too long. A client that waits for somebody else is told so.
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
        // What was received before a reset can still be read, and tells nothing.
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
