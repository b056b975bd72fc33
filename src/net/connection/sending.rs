//! Sends a session's answers, as far as the client reads them.

use rustix::io::Errno;

use super::super::endings::Ending;
use super::super::handler::Handler;
use super::super::token::{Side, Token};
use super::super::transport::Then;
use super::{Connection, State, TurnContext};

impl<H: Handler> Connection<H> {
    /// Sends pending output. `false` if the client must read before there is room for the rest.
    pub(super) fn send(&mut self, token: Token, context: &mut TurnContext<'_, H>) -> Result<bool, Ending> {
        let sent = self.send_what_fits(token, context);
        if let Some(work) = &mut self.work {
            H::on_sent(work, context.sessions);
        }
        sent
    }

    fn send_what_fits(&mut self, token: Token, context: &TurnContext<'_, H>) -> Result<bool, Ending> {
        let Some(work) = &mut self.work else { return Ok(true) };
        let then = if work.last.is_some() { Then::End } else { Then::More };
        while let Some(rest @ [_, ..]) = work.output.get(work.sent..) {
            match self.transport.write(rest, then) {
                Ok(sent) => {
                    work.sent += sent;
                    self.bytes_out += sent as u64;
                    self.since = context.now;
                }
                Err(Errno::AGAIN) => {
                    if self.state != State::Sending {
                        (self.state, self.since) = (State::Sending, context.now);
                    }
                    if !self.watched_for_room {
                        context
                            .readiness
                            .watch_for_room(&self.transport, token.key(Side::Client))
                            .map_err(|_| Ending::Failed)?;
                        self.watched_for_room = true;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(Ending::of(error)),
            }
        }
        work.output.clear();
        work.sent = 0;
        self.state = State::Listening;
        if let Some(ending) = work.last {
            // Otherwise the last segment would be held back for more data. If it fails, the connection is gone.
            self.transport.end().map_err(Ending::of)?;
            return Err(ending);
        }
        Ok(true)
    }
}
