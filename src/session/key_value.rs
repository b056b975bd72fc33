//! The key-value protocol: a login, then requests, each a line, answered in their order.
//!
//! Nothing here waits: anything that must wait goes to [others](super::offload).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Account;
use crate::net::{ClientSettings, Context, Ending, Step, Work};
use crate::protocol::{AdminRequest, Login, Refusal, Reply, Request, RequestKind};
use crate::store::{Read, Space, Write};

use super::counters::{LoginOutcome, RequestOutcome};
use super::lines::{self, Line};
use super::requests::{Handled, User};
use super::{Label, Scratch, Services, Session};

/// Answers beyond this are sent before the next request is handled, so that a client which asks for much and reads
/// little cannot make the server hold it.
const MOST_OUTPUT: usize = 64 * 1024;

/// The most keys that are read for a client before its answers are sent.
const MOST_READS: usize = 128;

/// The longest login line. A client that has not logged in may not occupy much memory.
const LONGEST_LOGIN: usize = 16 * 1024;

/// A session in the key-value protocol: the client's rights and the state of its requests.
#[derive(Debug)]
pub struct KeyValue {
    longest_line: u32,
    pub(super) user: Option<User>,
}

/// The next step before another line can be handled.
enum Next {
    /// A step of the connection.
    Step(Step),
    /// Submit the collected writes, and answer them.
    Commit,
    /// Have the collected keys read, and answer them.
    Fetch,
    /// Check a login.
    LogIn(Login),
    /// Carry out an administrator's request, which may take long.
    Administer(Box<AdminRequest>),
}

impl KeyValue {
    /// A session with a client that has not logged in.
    pub(super) fn new(settings: &ClientSettings) -> Self {
        Self { longest_line: settings.max_request.try_into().unwrap_or(u32::MAX), user: None }
    }

    /// The client's account, if it has logged in.
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.user.as_ref().map(|user| &user.account)
    }

    pub(super) fn label(&self) -> Label {
        let space = self.user.as_ref().and_then(|user| user.space.clone());
        Label { account: self.account().cloned(), space }
    }

    pub(super) fn on_input(
        &mut self,
        work: &mut Work<Session>,
        context: &mut Context<'_, Session>,
    ) -> (Step, usize) {
        let mut handled = 0;
        loop {
            let (next, more) = self.advance(work, context.services, context.peer);
            handled += more;
            let step = match next {
                Next::Step(step) => step,
                Next::Commit => self.commit(work, context),
                Next::Fetch => self.fetch(work, context),
                Next::Administer(request) => self.administer(*request, context),
                Next::LogIn(login) => match self.log_in(login, work, context) {
                    Some(step) => step,
                    None => continue,
                },
            };
            if matches!(step, Step::Close(_)) && self.user.is_none() {
                context.worker.recorder.login(LoginOutcome::Denied);
            }
            return (step, handled);
        }
    }

    /// Handles complete lines until there are none, or the session has to wait.
    ///
    /// Consecutive writes are collected, and so are consecutive reads from the first one that is not in memory.
    /// Everything else waits until those are done, so that answers keep their order and a client sees its own earlier
    /// writes and none of its later ones. Also returns the number of lines handled.
    fn advance(&mut self, work: &mut Work<Session>, services: &Services, peer: SocketAddr) -> (Next, usize) {
        let Work { input, output, scratch: Scratch { writes, reads, tally, .. }, .. } = work;
        let mut handled = 0;
        if !reads.is_empty() {
            // The last fetch has returned only a part of the keys.
            return (if output.len() > MOST_OUTPUT { Next::Step(Step::Send) } else { Next::Fetch }, 0);
        }
        let next = loop {
            if output.len() > MOST_OUTPUT {
                break Next::Step(Step::Send);
            }
            let longest = self.longest_line as usize;
            let longest = if self.user.is_some() { longest } else { longest.min(LONGEST_LOGIN) };
            let line = match lines::next(input, longest) {
                Line::Complete(line) => line,
                Line::Partial => break collected(writes, reads).unwrap_or(Next::Step(Step::Read)),
                Line::TooLong => {
                    if let Some(next) = collected(writes, reads) {
                        break next;
                    }
                    if self.user.is_some() {
                        tally.answer(RequestKind::Invalid, RequestOutcome::Error);
                    }
                    Reply::from(Refusal::LineTooLong { limit: longest }).render(output);
                    break Next::Step(Step::Close(Ending::Protocol));
                }
            };
            let Some(user) = &mut self.user else {
                let login = Login::parse(line);
                lines::consume(input);
                handled += 1;
                match login {
                    Some(login) => break Next::LogIn(login),
                    None => {
                        Reply::from(Refusal::AuthenticationFailed).render(output);
                        break Next::Step(Step::Close(Ending::LoginDenied));
                    }
                }
            };
            if !user.refresh(services) {
                if let Some(next) = collected(writes, reads) {
                    break next;
                }
                let kind = Request::parse(line).map_or(RequestKind::Invalid, |request| request.kind());
                tally.answer(kind, RequestOutcome::Denied);
                Reply::from(Refusal::AuthenticationFailed).render(output);
                break Next::Step(Step::Close(Ending::AccountRemoved));
            }
            #[cfg(test)]
            assert_ne!(line, super::FATAL, "a panic on request");
            let request = Request::parse(line);
            let kind = request.as_ref().map_or(RequestKind::Invalid, Request::kind);
            let writes_on = matches!(request, Ok(Request::Put { .. } | Request::Delete { .. }));
            let reads_on = matches!(request, Ok(Request::Get { .. })) && reads.len() < MOST_READS;
            if let Some(next) = collected(writes, reads)
                && !(if reads.is_empty() { writes_on } else { reads_on })
            {
                break next;
            }
            let in_turn = !reads.is_empty();
            let outcome = request
                .map_err(Refusal::from)
                .and_then(|request| user.handle(request, in_turn, services, peer));
            match outcome {
                Ok(Handled::Fetch(read)) => reads.push(read),
                Ok(Handled::Collected(write)) => {
                    writes.push(write);
                    tally.open(kind);
                }
                Err(refusal) => {
                    // A refused one is answered in order: its line is handled again after those before it.
                    if let Some(next) = collected(writes, reads) {
                        break next;
                    }
                    tally.answer(kind, RequestOutcome::from(&refusal));
                    Reply::Refused(refusal).render(output);
                }
                Ok(Handled::Reply(reply)) => {
                    tally.answer(kind, RequestOutcome::Ok);
                    reply.render(output);
                }
                Ok(Handled::Found(value)) => {
                    tally.answer(kind, RequestOutcome::Ok);
                    Reply::Value(&value).render(output);
                }
                Ok(Handled::Spaces(spaces)) => {
                    tally.answer(kind, RequestOutcome::Ok);
                    let names: Vec<_> = spaces.iter().map(Space::name).collect();
                    Reply::Spaces(&names).render(output);
                }
                Ok(Handled::Administer(request)) => {
                    lines::consume(input);
                    handled += 1;
                    tally.open(kind);
                    break Next::Administer(request);
                }
            }
            lines::consume(input);
            handled += 1;
        };
        (next, handled)
    }
}

/// The next step for what was collected, if anything was: writes, or reads, never both.
fn collected(writes: &[Write], reads: &[Read]) -> Option<Next> {
    match (writes, reads) {
        ([], []) => None,
        ([], _) => Some(Next::Fetch),
        _ => Some(Next::Commit),
    }
}
