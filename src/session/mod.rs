//! The protocols with clients: the sessions on the connections of [`net`](crate::net).
//!
//! [`Session`] is the list of all kinds of sessions. `net` calls it by the trait that it implements here; each call
//! goes to the kind's own type. Another kind is another variant, with its outcomes in [`Completion`] and its name in
//! [`Label`].
//!
//! The only kind speaks the key-value protocol ([`key_value`]): the meaning of requests is in [`requests`], the rare
//! ones of administrators in [`admin`], and slow work done elsewhere in [`offload`].

mod admin;
mod answers;
mod audit;
mod commits;
mod counters;
mod key_value;
mod lines;
mod offload;
mod requests;
mod services;
mod tally;

use std::sync::Arc;

use crate::auth::{Account, LoginError};
use crate::net::{
    ClientSettings, ConnectionInfo, Context, Handler, LastWords, Outbox, Ready, Step, Token, Which, Work,
};
use crate::protocol::{Refusal, Reply};
use crate::store::{Fetched, Outcome, Read, Space, StoreError};

use commits::{Commits, Committed};
use key_value::KeyValue;
use offload::Scratch;

pub use counters::{
    Answered, LoginOutcome, Recorder, RequestCounters, RequestCounts, RequestOutcome, Timing,
};
pub(crate) use services::Services;

/// A request that makes its session panic.
#[cfg(test)]
pub(crate) const FATAL: &[u8] = b"panic";

/// The session on one connection.
#[derive(Debug)]
pub enum Session {
    /// The key-value protocol.
    KeyValue(KeyValue),
}

/// What the sessions of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// Writes of this turn of the worker's loop.
    commits: Commits,
    recorder: Recorder,
}

/// The outcome that a session has waited for.
#[derive(Debug)]
pub enum Completion<'a> {
    /// A login was checked; with the generation of the accounts before the check.
    LoggedIn(Result<Arc<Account>, LoginError>, u64),
    /// An administrator's request was carried out; the answer and its outcome.
    Administered(Vec<u8>, RequestOutcome),
    /// Keys were read.
    Fetched(Fetched),
    /// Keys to delete were looked up, except for these.
    LookedUp(Vec<Read>),
    /// Writes were committed, or failed.
    Committed(Result<&'a [Outcome], &'a StoreError>),
}

/// The name of a session in lists.
#[derive(Debug, Clone)]
pub struct Label {
    account: Option<Arc<Account>>,
    space: Option<Space>,
}

impl ConnectionInfo<Label> {
    /// The user that logged in, if any.
    pub fn user(&self) -> Option<&str> {
        self.label.account.as_ref().map(|account| account.username.as_str())
    }

    /// The space in use, if one was chosen.
    pub fn space(&self) -> Option<&str> {
        self.label.space.as_ref().map(Space::name)
    }
}

impl Handler for Session {
    type Services = Services;
    type Worker = Worker;
    type Scratch = Scratch;
    type Completion<'a> = Completion<'a>;
    type Batch = Committed;
    type Label = Label;

    fn new(settings: &ClientSettings) -> Self {
        Self::KeyValue(KeyValue::new(settings))
    }

    fn user(&self) -> Option<&str> {
        let Self::KeyValue(session) = self;
        session.account().map(|account| account.username.as_str())
    }

    fn label(&self) -> Label {
        let Self::KeyValue(session) = self;
        session.label()
    }

    fn on_input(&mut self, work: &mut Work<Self>, context: &mut Context<'_, Self>) -> (Step, usize) {
        let Self::KeyValue(session) = self;
        session.on_input(work, context)
    }

    fn on_completion(
        &mut self,
        completion: Completion<'_>,
        work: &mut Work<Self>,
        context: &mut Context<'_, Self>,
    ) -> Step {
        let Self::KeyValue(session) = self;
        session.on_completion(completion, work, context)
    }

    fn on_backend(&mut self, _: Ready) {
        match self {
            // It has no second socket.
            Self::KeyValue(_) => {}
        }
    }

    fn on_sent(work: &mut Work<Self>, worker: &mut Worker) {
        work.scratch.tally.count(&mut worker.recorder, work.since);
    }

    fn on_timeout(&mut self, work: &mut Work<Self>) {
        match self {
            Self::KeyValue(_) => KeyValue::on_timeout(work),
        }
    }

    fn on_hang_up(&self, line: &mut Vec<u8>) -> bool {
        let Self::KeyValue(session) = self;
        session.on_hang_up(line)
    }

    fn last_words(words: LastWords, line: &mut Vec<u8>) {
        let refusal = match words {
            LastWords::AtCapacity { limit } => Refusal::AtCapacity { limit },
            LastWords::TooSlow { longest } => Refusal::TooSlow { longest },
        };
        Reply::Refused(refusal).render(line);
    }

    fn end_of_request(bytes: &[u8], which: Which) -> Option<usize> {
        lines::end(bytes, which)
    }

    fn worker(services: &Services) -> Worker {
        Worker { commits: Commits::default(), recorder: services.counters.recorder() }
    }

    fn flush(worker: &mut Worker, services: &Services, outbox: &Outbox<Self>) {
        worker.commits.submit(&services.store, outbox);
    }

    fn completions(batch: &Committed) -> impl Iterator<Item = (Token, Completion<'_>)> {
        batch.shares().map(|(token, share)| (token, Completion::Committed(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::sizes;

    /// An idle connection costs only this and a socket in the kernel.
    #[test]
    fn a_waiting_connection_is_small() {
        assert_eq!(sizes::<Session>(), (136, 256));
        assert_eq!(size_of::<Session>(), 32);
    }
}
