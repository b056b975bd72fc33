//! Reads a client's input, as far as there is memory for it.

use super::super::budget::Grant;
use super::super::endings::Ending;
use super::super::handler::{Handler, Which};
use super::super::input::Fill;
use super::{Connection, PLENTY, TurnContext};

impl<H: Handler> Connection<H> {
    /// Reads once. `false` if there is no memory for the input.
    pub(super) fn read(&mut self, grant: Grant, context: &mut TurnContext<'_, H>) -> Result<bool, Ending> {
        let is_guest = self.is_guest();
        let work = self.work.get_or_insert_with(|| context.pool.take());
        let before = work.input.len();
        let filled = match grant {
            Grant::All => work.input.fill(&self.transport),
            // From a client that may not log in, only its login.
            _ => {
                let which = if is_guest { Which::First } else { Which::Last };
                work.input.fill_whole(&self.transport, |bytes| H::end_of_request(bytes, which))
            }
        };
        work.unread = 0;
        if grant == Grant::All {
            work.from_reserve = false;
        } else if before == 0 {
            work.from_reserve = !is_guest;
        }
        match filled {
            Fill::More => {}
            Fill::Drained => self.readable = self.hung_up,
            Fill::Nothing => self.readable = false,
            Fill::Unfinished(unread) => {
                work.unread = unread;
                // The rest of the request will never arrive.
                return if self.hung_up && unread < PLENTY { Err(Ending::Client) } else { Ok(false) };
            }
            Fill::Closed(ending) => return Err(ending),
        }
        work.since = Some(context.woken);
        let read = work.input.len() - before;
        self.bytes_in += read as u64;
        // Sending a login or a request byte by byte gains no time.
        if before == 0 && !is_guest && !self.kept_waiting {
            self.since = context.now;
        }
        if read > 0 {
            self.kept_waiting = false;
        }
        Ok(true)
    }
}
