//! What a connection has others do for it, since it takes its time: commits, administrators' requests, logins
//! that are not known yet. The outcome comes back through the worker's mailbox.

use std::sync::Arc;

use crate::auth::Account;
use crate::protocol::{AdminRequest, Login, Refusal, Reply};
use crate::store::{Outcome, StoreError};

use super::super::admin::{administer, with_profile};
use super::super::counters::LoginOutcome;
use super::super::endings::Ending;
use super::super::mailbox::{Finished, Promise, Token};
use super::super::requests::answer_writes;
use super::{Connection, Desk, State, Turn};

/// Room for so many writes is kept.
const SPARE_WRITES: usize = 16;

impl Connection {
    /// Goes on with what it has waited for.
    pub(in crate::server) fn finished(
        &mut self,
        finished: Finished,
        token: Token,
        desk: &mut Desk<'_>,
    ) -> Turn {
        self.state = State::Listening;
        self.since = desk.now;
        let work = self.work.get_or_insert_with(|| desk.pool.take());
        match finished {
            Finished::Administered(mut answer, outcome) => {
                work.tally.close(outcome);
                work.output.append(&mut answer);
            }
            Finished::LoggedIn(Ok(account), generation) => self.let_in(account, generation, desk),
            Finished::LoggedIn(Err(_), _) => self.refuse_login(desk),
            Finished::Abandoned => return Turn::Over(Ending::Failed),
        }
        self.turn(token, desk)
    }

    /// Goes on when its writes are committed, or are not.
    pub(in crate::server) fn committed(
        &mut self,
        outcomes: Result<&[Outcome], &StoreError>,
        token: Token,
        desk: &mut Desk<'_>,
    ) -> Turn {
        self.state = State::Listening;
        self.since = desk.now;
        let work = self.work.get_or_insert_with(|| desk.pool.take());
        work.in_flight = 0;
        answer_writes(outcomes, work.submitted, &mut work.output, &mut work.tally);
        self.turn(token, desk)
    }

    pub(super) fn commit(&mut self, token: Token, desk: &mut Desk<'_>) -> Turn {
        let work = self.work.get_or_insert_with(|| desk.pool.take());
        work.submitted = work.writes.len();
        work.in_flight = desk.commits.collect(token, &mut work.writes);
        work.writes.shrink_to(SPARE_WRITES);
        self.state = State::Awaiting;
        Turn::Waits
    }

    pub(super) fn administer(&mut self, request: AdminRequest, token: Token, desk: &Desk<'_>) -> Turn {
        let promise = self.promise(token, desk);
        let services = desk.services.clone();
        desk.runtime.spawn(async move {
            let mut answer = Vec::new();
            let outcome = administer(request, &services, &mut answer).await;
            promise.keep(Finished::Administered(answer, outcome));
        });
        Turn::Waits
    }

    /// Checks a login. `false` if it takes its time.
    pub(super) fn log_in(&mut self, login: Login, token: Token, desk: &mut Desk<'_>) -> bool {
        let accounts = &desk.services.accounts;
        // Read before the check: a change during it is then noticed with the first request.
        let generation = accounts.generation();
        if let Some(account) = accounts.known_login(&login.username, &login.password) {
            self.let_in(account, generation, desk);
            return true;
        }
        let promise = self.promise(token, desk);
        let (accounts, peer) = (accounts.clone(), self.peer.ip());
        desk.runtime.spawn(async move {
            let verdict = accounts.login(&login.username, &login.password, peer).await;
            promise.keep(Finished::LoggedIn(verdict, generation));
        });
        false
    }

    /// Notes a login that succeeded, and welcomes the client.
    fn let_in(&mut self, account: Arc<Account>, generation: u64, desk: &mut Desk<'_>) {
        desk.recorder.login(LoginOutcome::Ok);
        let work = self.work.get_or_insert_with(|| desk.pool.take());
        with_profile(&account, |profile| Reply::Welcome(profile).render(&mut work.output));
        self.client.logged_in(account, generation);
    }

    fn refuse_login(&mut self, desk: &mut Desk<'_>) {
        tracing::debug!(peer = %self.peer, "a login was refused");
        desk.recorder.login(LoginOutcome::Denied);
        let work = self.work.get_or_insert_with(|| desk.pool.take());
        Reply::from(Refusal::AuthenticationFailed).render(&mut work.output);
        work.last = Some(Ending::LoginDenied);
        self.state = State::Sending;
    }

    /// A promise to this connection, which waits for it from now on.
    fn promise(&mut self, token: Token, desk: &Desk<'_>) -> Promise {
        self.state = State::Awaiting;
        Promise::new(desk.mailbox, token)
    }
}
