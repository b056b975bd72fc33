//! What a connection has others do for it, since it takes its time: commits, reads from the disk, administrators' requests, logins
//! that are not known yet. The outcome comes back through the worker's mailbox.

use std::sync::Arc;

use crate::auth::{Account, LoginError};
use crate::protocol::{AdminRequest, Login, Refusal, Reply, RequestKind};
use crate::store::{Fetch, Fetched, Outcome, Read, StoreError};

use super::super::admin::{administer, with_profile};
use super::super::audit::Administrator;
use super::super::counters::LoginOutcome;
use super::super::endings::Ending;
use super::super::mailbox::{Finished, Promise, Token};
use super::super::requests::{answer_reads, answer_writes};
use super::{Connection, State, Turn, TurnContext};

/// Room for so many writes is kept.
const SPARE_WRITES: usize = 16;

impl Connection {
    /// Goes on with what it has waited for.
    pub(in crate::server) fn finished(
        &mut self,
        finished: Finished,
        token: Token,
        context: &mut TurnContext<'_>,
    ) -> Turn {
        if self.state != State::Awaiting {
            // It was given up.
            return Turn::Waits;
        }
        self.state = State::Listening;
        self.since = context.now;
        let work = self.work.get_or_insert_with(|| context.pool.take());
        work.login = None;
        match finished {
            Finished::Administered(mut answer, outcome) => {
                work.tally.close(outcome);
                work.output.append(&mut answer);
            }
            Finished::Fetched(fetched) => {
                work.in_flight = 0;
                work.tally.withdraw(fetched.rest.len());
                answer_reads(&fetched.found, &mut work.output, &mut work.tally);
                work.reads = fetched.rest;
            }
            Finished::LookedUp(rest) if rest.is_empty() => self.submit(token, context),
            Finished::LookedUp(rest) => self.look_up(rest, token, context),
            Finished::LoggedIn(Ok(account), generation) => self.let_in(account, generation, context),
            Finished::LoggedIn(Err(LoginError::Denied), _) => {
                self.refuse_login(Refusal::AuthenticationFailed, Ending::LoginDenied, context);
            }
            Finished::LoggedIn(Err(busy @ LoginError::Busy), _) => {
                self.refuse_login(Refusal::Other(busy.to_string()), Ending::LoginBusy, context);
            }
            Finished::Abandoned => return Turn::Over(Ending::Failed),
        }
        self.turn(token, context)
    }

    /// Goes on when its writes are committed, or are not.
    pub(in crate::server) fn committed(
        &mut self,
        outcomes: Result<&[Outcome], &StoreError>,
        token: Token,
        context: &mut TurnContext<'_>,
    ) -> Turn {
        if self.state != State::Awaiting {
            return Turn::Waits;
        }
        self.state = State::Listening;
        self.since = context.now;
        let work = self.work.get_or_insert_with(|| context.pool.take());
        work.in_flight = 0;
        answer_writes(outcomes, work.submitted, &mut work.output, &mut work.tally);
        self.turn(token, context)
    }

    /// Commits the collected writes. The thread that commits finds out whether a key to be deleted is there, and
    /// everybody's commits would wait for the disk with it: so what is not in memory is looked up before.
    pub(super) fn commit(&mut self, token: Token, context: &mut TurnContext<'_>) {
        let work = self.work.get_or_insert_with(|| context.pool.take());
        let store = &context.services.store;
        let unknown: Vec<_> = work
            .writes
            .iter()
            .filter(|write| write.value.is_none() && store.kept(&write.space, &write.key).is_none())
            .map(|write| Read { space: write.space.clone(), key: write.key.clone() })
            .collect();
        if unknown.is_empty() { self.submit(token, context) } else { self.look_up(unknown, token, context) }
    }

    fn look_up(&mut self, reads: Vec<Read>, token: Token, context: &mut TurnContext<'_>) {
        let promise = self.promise(token, context);
        let work = self.work.get_or_insert_with(|| context.pool.take());
        work.in_flight = reads.iter().map(|read| size_of::<Read>() + read.key.len()).sum();
        let wanted = Arc::downgrade(work.waiting.get_or_insert_default());
        let done = Box::new(|fetched: Fetched| promise.keep(Finished::LookedUp(fetched.rest)));
        context.services.store.fetch(Fetch { reads, wanted, done });
    }

    fn submit(&mut self, token: Token, context: &mut TurnContext<'_>) {
        let work = self.work.get_or_insert_with(|| context.pool.take());
        work.submitted = work.writes.len();
        work.in_flight = context.commits.collect(token, &mut work.writes);
        work.writes.shrink_to(SPARE_WRITES);
        work.compact_if_large();
        self.state = State::Awaiting;
    }

    /// Has keys read that are not kept in memory.
    pub(super) fn fetch(&mut self, token: Token, context: &mut TurnContext<'_>) {
        let promise = self.promise(token, context);
        let work = self.work.get_or_insert_with(|| context.pool.take());
        let reads = std::mem::take(&mut work.reads);
        reads.iter().for_each(|_| work.tally.open(RequestKind::Get));
        work.in_flight = reads.iter().map(|read| size_of::<Read>() + read.key.len()).sum();
        let wanted = Arc::downgrade(work.waiting.get_or_insert_default());
        let done = Box::new(|fetched| promise.keep(Finished::Fetched(fetched)));
        context.services.store.fetch(Fetch { reads, wanted, done });
    }

    pub(super) fn administer(&mut self, request: AdminRequest, token: Token, context: &TurnContext<'_>) {
        let promise = self.promise(token, context);
        let services = context.services.clone();
        let username = self.client.account().map(|account| account.username.clone()).unwrap_or_default();
        let administrator = Administrator { username, peer: self.peer };
        context.runtime.spawn(async move {
            let mut answer = Vec::new();
            let outcome = administer(request, &administrator, &services, &mut answer).await;
            promise.keep(Finished::Administered(answer, outcome));
        });
    }

    /// Checks a login. `false` if it takes its time.
    pub(super) fn log_in(&mut self, login: Login, token: Token, context: &mut TurnContext<'_>) -> bool {
        let accounts = &context.services.accounts;
        // Read before the check: a change during it is then noticed with the first request.
        let generation = accounts.generation();
        if let Some(account) = accounts.known_login(&login.username, &login.password) {
            self.let_in(account, generation, context);
            return true;
        }
        let promise = self.promise(token, context);
        let (accounts, peer) = (accounts.clone(), self.peer.ip());
        let login = context.runtime.spawn(async move {
            let verdict = accounts.login(&login.username, &login.password, peer).await;
            promise.keep(Finished::LoggedIn(verdict, generation));
        });
        self.remember_login(login.abort_handle(), context);
        false
    }

    /// Notes a login that succeeded, and welcomes the client.
    fn let_in(&mut self, account: Arc<Account>, generation: u64, context: &mut TurnContext<'_>) {
        context.recorder.login(LoginOutcome::Ok);
        let work = self.work.get_or_insert_with(|| context.pool.take());
        with_profile(&account, |profile| Reply::Welcome(profile).render(&mut work.output));
        self.client.logged_in(account, generation);
    }

    fn refuse_login(&mut self, refusal: Refusal, ending: Ending, context: &mut TurnContext<'_>) {
        tracing::debug!(peer = %self.peer, "a login from {} was refused", self.peer);
        context.recorder.login(LoginOutcome::Denied);
        let work = self.work.get_or_insert_with(|| context.pool.take());
        Reply::from(refusal).render(&mut work.output);
        work.last = Some(ending);
        self.state = State::Sending;
    }

    /// A promise to this connection, which waits for it from now on.
    fn promise(&mut self, token: Token, context: &TurnContext<'_>) -> Promise {
        self.state = State::Awaiting;
        Promise::new(context.mailbox, token)
    }
}
