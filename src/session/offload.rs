//! Slow work that others do for a session: commits, reads from the disk, administrators' requests, checks of unknown
//! logins. The outcome comes back as a [`Completion`].

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::auth::{Account, LoginError};
use crate::net::{Context, Ending, Step, Work};
use crate::protocol::{AdminRequest, Login, Refusal, Reply, RequestKind};
use crate::store::{Fetch, Fetched, Read, Write};

use super::admin::{administer, with_profile};
use super::answers::{answer_reads, answer_writes};
use super::audit::Administrator;
use super::counters::{LoginOutcome, RequestOutcome};
use super::key_value::KeyValue;
use super::requests::User;
use super::tally::Tally;
use super::{Completion, Session};

/// The room for writes that is kept.
const SPARE_WRITES: usize = 16;

/// What a session needs while its connection has work.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Writes not yet submitted. Their answers come after everything in the output.
    pub(super) writes: Vec<Write>,
    /// Keys not yet read, or to read after the output has been sent.
    pub(super) reads: Vec<Read>,
    /// Exists as long as a client waits for keys that are being read.
    waiting: Option<Arc<()>>,
    /// How many writes are being committed.
    submitted: usize,
    /// The bytes that they take.
    in_flight: usize,
    /// The check of a login that is under way: only this session needs it.
    login: Option<AbortHandle>,
    /// Requests to count.
    pub(super) tally: Tally,
}

impl KeyValue {
    pub(super) fn on_completion(
        &mut self,
        completion: Completion<'_>,
        work: &mut Work<Session>,
        context: &mut Context<'_, Session>,
    ) -> Step {
        let scratch = &mut work.scratch;
        scratch.login = None;
        match completion {
            Completion::Committed(outcomes) => {
                scratch.in_flight = 0;
                answer_writes(outcomes, scratch.submitted, &mut work.output, &mut scratch.tally);
            }
            Completion::Administered(mut answer, outcome) => {
                scratch.tally.close(outcome);
                work.output.append(&mut answer);
            }
            Completion::Fetched(fetched) => {
                scratch.in_flight = 0;
                scratch.tally.withdraw(fetched.rest.len());
                answer_reads(&fetched.found, &mut work.output, &mut scratch.tally);
                scratch.reads = fetched.rest;
            }
            Completion::LookedUp(rest) if rest.is_empty() => return self.submit(work, context),
            Completion::LookedUp(rest) => return self.look_up(rest, work, context),
            Completion::LoggedIn(Ok(account), generation) => self.let_in(account, generation, work, context),
            Completion::LoggedIn(Err(LoginError::Denied), _) => {
                return refuse_login(Refusal::AuthenticationFailed, Ending::LoginDenied, work, context);
            }
            Completion::LoggedIn(Err(busy @ LoginError::Busy), _) => {
                return refuse_login(Refusal::Other(busy.to_string()), Ending::LoginBusy, work, context);
            }
        }
        Step::Read
    }

    /// Gives up what the session waits for, and informs the client.
    pub(super) fn on_timeout(work: &mut Work<Session>) {
        let scratch = &mut work.scratch;
        let words = if let Some(login) = scratch.login.take() {
            login.abort();
            "the login could not be checked in time: too many are waiting, try again later"
        } else {
            for _ in 0..scratch.submitted.max(1) {
                scratch.tally.close(RequestOutcome::Error);
            }
            "there was no answer in time: the request may or may not be carried out"
        };
        Reply::Refused(Refusal::Other(words.into())).render(&mut work.output);
    }

    /// A client that can send no request gains nothing from a login; one that has sent a request gets its answer.
    pub(super) fn on_hang_up(&self, line: &mut Vec<u8>) -> bool {
        if self.account().is_some() {
            return true;
        }
        let words = "the login was not checked: the connection was closed for sending before a request";
        Reply::Refused(Refusal::Other(words.into())).render(line);
        false
    }

    /// Commits the collected writes. The committing thread finds out whether a key to delete exists, and all commits
    /// would wait for the disk with it: so keys that are not in memory are looked up before.
    pub(super) fn commit(&self, work: &mut Work<Session>, context: &mut Context<'_, Session>) -> Step {
        let store = &context.services.store;
        let unknown: Vec<_> = work
            .scratch
            .writes
            .iter()
            .filter(|write| write.value.is_none() && store.kept(&write.space, &write.key).is_none())
            .map(|write| Read { space: write.space.clone(), key: write.key.clone() })
            .collect();
        if unknown.is_empty() { self.submit(work, context) } else { self.look_up(unknown, work, context) }
    }

    fn look_up(
        &self,
        reads: Vec<Read>,
        work: &mut Work<Session>,
        context: &mut Context<'_, Session>,
    ) -> Step {
        let promise = context.promise();
        let scratch = &mut work.scratch;
        scratch.in_flight = reads.iter().map(|read| size_of::<Read>() + read.key.len()).sum();
        let wanted = Arc::downgrade(scratch.waiting.get_or_insert_default());
        let done = Box::new(|fetched: Fetched| promise.keep(Completion::LookedUp(fetched.rest)));
        context.services.store.fetch(Fetch { reads, wanted, done });
        Step::Wait
    }

    fn submit(&self, work: &mut Work<Session>, context: &mut Context<'_, Session>) -> Step {
        let scratch = &mut work.scratch;
        scratch.submitted = scratch.writes.len();
        let token = context.token();
        scratch.in_flight = context.worker.commits.collect(token, &mut scratch.writes);
        scratch.writes.shrink_to(SPARE_WRITES);
        work.input.compact_if_large();
        if context.worker.commits.is_full() {
            let outbox = context.outbox();
            context.worker.commits.submit(&context.services.store, &outbox);
        }
        Step::Wait
    }

    /// Starts reads of keys that are not in memory.
    pub(super) fn fetch(&self, work: &mut Work<Session>, context: &mut Context<'_, Session>) -> Step {
        let promise = context.promise();
        let scratch = &mut work.scratch;
        let reads = std::mem::take(&mut scratch.reads);
        reads.iter().for_each(|_| scratch.tally.open(RequestKind::Get));
        scratch.in_flight = reads.iter().map(|read| size_of::<Read>() + read.key.len()).sum();
        let wanted = Arc::downgrade(scratch.waiting.get_or_insert_default());
        let done = Box::new(|fetched| promise.keep(Completion::Fetched(fetched)));
        context.services.store.fetch(Fetch { reads, wanted, done });
        Step::Wait
    }

    pub(super) fn administer(&self, request: AdminRequest, context: &Context<'_, Session>) -> Step {
        let promise = context.promise();
        let accounts = context.services.accounts.clone();
        let username = self.account().map(|account| account.username.clone()).unwrap_or_default();
        let administrator = Administrator { username, peer: context.peer };
        context.runtime.spawn(async move {
            let mut answer = Vec::new();
            let outcome = administer(request, &administrator, &accounts, &mut answer).await;
            promise.keep(Completion::Administered(answer, outcome));
        });
        Step::Wait
    }

    /// Checks a login. `None` if it succeeded at once.
    pub(super) fn log_in(
        &mut self,
        login: Login,
        work: &mut Work<Session>,
        context: &mut Context<'_, Session>,
    ) -> Option<Step> {
        let accounts = &context.services.accounts;
        // Read before the check: a change during it is then noticed with the first request.
        let generation = accounts.generation();
        if let Some(account) = accounts.known_login(&login.username, &login.password) {
            self.let_in(account, generation, work, context);
            return None;
        }
        let promise = context.promise();
        let (accounts, peer) = (accounts.clone(), context.peer.ip());
        let login = context.runtime.spawn(async move {
            let verdict = accounts.login(&login.username, &login.password, peer).await;
            promise.keep(Completion::LoggedIn(verdict, generation));
        });
        // Aborted if the client does not wait for it any more.
        work.scratch.login = Some(login.abort_handle());
        Some(Step::Wait)
    }

    /// Records a login that succeeded, and welcomes the client.
    fn let_in(
        &mut self,
        account: Arc<Account>,
        generation: u64,
        work: &mut Work<Session>,
        context: &mut Context<'_, Session>,
    ) {
        context.worker.recorder.login(LoginOutcome::Ok);
        with_profile(&account, |profile| Reply::Welcome(profile).render(&mut work.output));
        self.user = Some(User { account, generation, space: None });
    }
}

fn refuse_login(
    refusal: Refusal,
    ending: Ending,
    work: &mut Work<Session>,
    context: &mut Context<'_, Session>,
) -> Step {
    tracing::debug!(peer = %context.peer, "a login from {} was refused", context.peer);
    context.worker.recorder.login(LoginOutcome::Denied);
    Reply::from(refusal).render(&mut work.output);
    Step::Close(ending)
}

impl crate::net::Scratch for Scratch {
    fn held(&self) -> usize {
        self.in_flight + self.tally.held()
    }

    fn clear(&mut self) {
        let Self { writes, reads, waiting, submitted, in_flight, login, tally } = self;
        if let Some(login) = login.take() {
            login.abort();
        }
        writes.clear();
        reads.clear();
        *waiting = None;
        (*submitted, *in_flight) = (0, 0);
        tally.clear();
    }
}
