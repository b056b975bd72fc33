//! What requests mean. Nothing here waits: what must wait is returned as a [`Step`] for the session to carry out.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Account;
use crate::protocol::{AdminRequest, Done, Login, Refusal, Reply, Request, RequestKind, Text};
use crate::store::{Found, MAX_KEY_LEN, Outcome, Read, Space, StoreError, Value, Write};

use super::Services;
use super::audit::Attempts;
use super::buffers::{Line, Work};
use super::counters::RequestOutcome;
use super::endings::Ending;
use super::tally::Tally;

/// Answers beyond this are sent before the next request is looked at, so that a client which asks for
/// much and reads little cannot make the server hold it.
const MOST_OUTPUT: usize = 64 * 1024;

/// So many keys are read for a client before its answers are sent.
const MOST_READS: usize = 128;

/// The longest login line. Whoever is not known yet may not occupy much memory.
const LONGEST_LOGIN: usize = 16 * 1024;

/// What one client may do, and what it is talking about.
#[derive(Debug)]
pub(super) struct Client {
    longest_line: u32,
    user: Option<User>,
}

/// A client that is logged in.
#[derive(Debug)]
struct User {
    account: Arc<Account>,
    /// The generation of the accounts that `account` was read at, or an earlier one.
    generation: u64,
    /// The space of requests that name none.
    space: Option<Space>,
}

/// Where it is noted that a client tried what only administrators may, and from where the client comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audit<'a> {
    pub(super) attempts: &'a Attempts,
    pub(super) peer: SocketAddr,
}

/// What the session must do before the next line can be handled.
#[derive(Debug)]
pub(super) enum Step {
    /// Read on: there is no complete line.
    Read,
    /// Submit the collected writes, and answer them.
    Commit,
    /// Have the collected keys read, and answer them.
    Fetch,
    /// Send the answers so far.
    Send,
    /// Check a login.
    LogIn(Login),
    /// Carry out what may take its time.
    Administer(Box<AdminRequest>),
    /// Send the answers and close the connection, for this reason.
    Close(Ending),
}

/// A request that could be handled at once.
enum Handled {
    Reply(Reply<'static>),
    Found(Value),
    Spaces(Vec<Space>),
    Collected(Write),
    /// To be read where it may take its time.
    Fetch(Read),
    Administer(Box<AdminRequest>),
}

impl Client {
    /// A client that has not logged in.
    pub(super) fn new(longest_line: usize) -> Self {
        Self { longest_line: longest_line.try_into().unwrap_or(u32::MAX), user: None }
    }

    /// Who the client is, if it has logged in.
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.user.as_ref().map(|user| &user.account)
    }

    /// The space of requests that name none.
    pub(super) fn space(&self) -> Option<&Space> {
        self.user.as_ref()?.space.as_ref()
    }

    /// Notes a login that succeeded. `generation` is that of the accounts before the login was checked.
    pub(super) fn logged_in(&mut self, account: Arc<Account>, generation: u64) {
        self.user = Some(User { account, generation, space: None });
    }

    /// Handles complete lines until there are none, or something has to be waited for.
    ///
    /// Consecutive writes are collected, and so are consecutive reads from the first on that is not kept in memory.
    /// Everything else waits until those are done, so that answers keep their order and a client sees its own
    /// writes, and nothing that it wrote later. Returns the number of lines handled as well.
    pub(super) fn advance(
        &mut self,
        work: &mut Work,
        services: &Services,
        audit: Audit<'_>,
    ) -> (Step, usize) {
        let Work { input, output, writes, reads, tally, .. } = work;
        let mut handled = 0;
        if !reads.is_empty() {
            // The last fetch has come back with a part of what was asked for.
            return (if output.len() > MOST_OUTPUT { Step::Send } else { Step::Fetch }, 0);
        }
        let step = loop {
            if output.len() > MOST_OUTPUT {
                break Step::Send;
            }
            let longest = self.longest_line as usize;
            let longest = if self.user.is_some() { longest } else { longest.min(LONGEST_LOGIN) };
            let line = match input.line(longest) {
                Line::Complete(line) => line,
                Line::Partial => break collected(writes, reads).unwrap_or(Step::Read),
                Line::TooLong => {
                    if let Some(step) = collected(writes, reads) {
                        break step;
                    }
                    if self.user.is_some() {
                        tally.answer(RequestKind::Invalid, RequestOutcome::Error);
                    }
                    Reply::from(Refusal::LineTooLong { limit: longest }).render(output);
                    break Step::Close(Ending::Protocol);
                }
            };
            let Some(user) = &mut self.user else {
                let login = Login::parse(line);
                input.consume();
                handled += 1;
                match login {
                    Some(login) => break Step::LogIn(login),
                    None => {
                        Reply::from(Refusal::AuthenticationFailed).render(output);
                        break Step::Close(Ending::LoginDenied);
                    }
                }
            };
            if !user.refresh(services) {
                if let Some(step) = collected(writes, reads) {
                    break step;
                }
                let kind = Request::parse(line).map_or(RequestKind::Invalid, |request| request.kind());
                tally.answer(kind, RequestOutcome::Denied);
                Reply::from(Refusal::AuthenticationFailed).render(output);
                break Step::Close(Ending::AccountRemoved);
            }
            #[cfg(test)]
            assert_ne!(line, super::tests::FATAL, "a panic on request");
            let request = Request::parse(line);
            let kind = request.as_ref().map_or(RequestKind::Invalid, Request::kind);
            let writes_on = matches!(request, Ok(Request::Put { .. } | Request::Delete { .. }));
            let reads_on = matches!(request, Ok(Request::Get { .. })) && reads.len() < MOST_READS;
            if let Some(step) = collected(writes, reads)
                && !(if reads.is_empty() { writes_on } else { reads_on })
            {
                break step;
            }
            let in_turn = !reads.is_empty();
            let outcome = request
                .map_err(Refusal::from)
                .and_then(|request| user.handle(request, in_turn, services, audit));
            match outcome {
                Ok(Handled::Fetch(read)) => reads.push(read),
                Ok(Handled::Collected(write)) => {
                    writes.push(write);
                    tally.open(kind);
                }
                Err(refusal) => {
                    // A refused one is answered in its turn: the line comes again after those before it.
                    if let Some(step) = collected(writes, reads) {
                        break step;
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
                    input.consume();
                    handled += 1;
                    tally.open(kind);
                    break Step::Administer(request);
                }
            }
            input.consume();
            handled += 1;
        };
        (step, handled)
    }
}

impl User {
    /// Reads the account again if any has changed. `false` if it is gone, be there another of its name.
    fn refresh(&mut self, services: &Services) -> bool {
        let generation = services.accounts.generation();
        if generation != self.generation {
            match services.accounts.account(&self.account.username) {
                Some(account) if account.is_same(&self.account) => {
                    (self.account, self.generation) = (account, generation);
                }
                _ => return false,
            }
        }
        true
    }

    /// `in_turn`: reads before this one have not been answered yet.
    fn handle(
        &mut self,
        request: Request<'_>,
        in_turn: bool,
        services: &Services,
        Audit { attempts, peer }: Audit<'_>,
    ) -> Result<Handled, Refusal> {
        match request {
            Request::Get { space, key } => {
                let space = self.readable(space, services)?;
                let kept = if in_turn { None } else { services.store.kept(&space, key.as_bytes()) };
                match kept {
                    Some(Ok(Some(value))) => Ok(Handled::Found(value)),
                    Some(Ok(None)) => Err(Refusal::KeyNotFound),
                    Some(Err(error)) => Err(refusal(&error)),
                    None => Ok(Handled::Fetch(Read { space, key: key.into_owned().into_bytes() })),
                }
            }
            Request::Put { space, key, value } => Ok(Handled::Collected(Write {
                space: self.writable(space, services)?,
                key: key.into_owned().into_bytes(),
                value: Some(value.into_owned().into_bytes()),
            })),
            Request::Delete { space, key } => Ok(Handled::Collected(Write {
                space: self.writable(space, services)?,
                key: key.into_owned().into_bytes(),
                value: None,
            })),
            Request::UseSpace { space } => {
                self.space = Some(self.readable(Some(space), services)?);
                Ok(Handled::Reply(Done::SpaceChanged.into()))
            }
            Request::ListSpaces => {
                let mut spaces = services.store.spaces();
                spaces.retain(|space| self.account.may_read(space.name()));
                Ok(Handled::Spaces(spaces))
            }
            Request::Vector => Err(Refusal::VectorUnsupported),
            Request::Admin(request) if !self.account.is_admin() => {
                attempts.note(&request, &self.account, peer);
                Err(Refusal::AdminRequired)
            }
            Request::Admin(request) => Ok(Handled::Administer(request)),
        }
    }

    fn readable(&self, space: Option<Text<'_>>, services: &Services) -> Result<Space, Refusal> {
        self.permitted(space, services, Account::may_read, Refusal::ReadDenied)
    }

    fn writable(&self, space: Option<Text<'_>>, services: &Services) -> Result<Space, Refusal> {
        self.permitted(space, services, Account::may_write, Refusal::WriteDenied)
    }

    /// The space named, or the one in use. Permission comes first: whoever has none does not learn
    /// which spaces there are.
    fn permitted(
        &self,
        named: Option<Text<'_>>,
        services: &Services,
        may: fn(&Account, &str) -> bool,
        denied: Refusal,
    ) -> Result<Space, Refusal> {
        match (named, &self.space) {
            (Some(name), _) if !may(&self.account, &name) => Err(denied),
            // Most name the space in use all the same: that saves looking it up.
            (Some(name), Some(space)) if *name == *space.name() && !space.is_deleted() => Ok(space.clone()),
            (Some(name), _) => services.store.space(&name).ok_or(Refusal::SpaceNotFound),
            (None, Some(space)) if !may(&self.account, space.name()) => Err(denied),
            (None, Some(space)) => Ok(space.clone()),
            (None, None) => Err(Refusal::NoSpaceSelected),
        }
    }
}

/// What has to be done with what was collected, if anything was: writes, or reads, never both.
fn collected(writes: &[Write], reads: &[Read]) -> Option<Step> {
    match (writes, reads) {
        ([], []) => None,
        ([], _) => Some(Step::Fetch),
        _ => Some(Step::Commit),
    }
}

/// Appends the answers to reads: one for each, in their order.
pub(super) fn answer_reads(found: &[Found], output: &mut Vec<u8>, tally: &mut Tally) {
    for found in found {
        let reply = match found {
            Ok(Some(value)) => Ok(Reply::Value(value)),
            Ok(None) => Err(Refusal::KeyNotFound),
            Err(error) => Err(refusal(error)),
        };
        tally.close(reply.as_ref().map_or_else(RequestOutcome::from, |_| RequestOutcome::Ok));
        reply.unwrap_or_else(Reply::Refused).render(output);
    }
}

/// Appends the answers to writes that were submitted: one for each, in their order.
pub(super) fn answer_writes(
    committed: Result<&[Outcome], &StoreError>,
    writes: usize,
    output: &mut Vec<u8>,
    tally: &mut Tally,
) {
    let mut answer = |outcome: Result<Done, Refusal>| {
        tally.close(outcome.as_ref().map_or_else(RequestOutcome::from, |_| RequestOutcome::Ok));
        outcome.map_or_else(Reply::Refused, Reply::Done).render(output);
    };
    match committed {
        Ok(outcomes) => outcomes.iter().for_each(|&outcome| answer(done(outcome))),
        Err(error) => (0..writes).for_each(|_| answer(Err(refusal(error)))),
    }
}

fn done(outcome: Outcome) -> Result<Done, Refusal> {
    match outcome {
        Outcome::Stored => Ok(Done::Stored),
        Outcome::Deleted => Ok(Done::Deleted),
        Outcome::NotFound => Err(Refusal::KeyNotFound),
        Outcome::NoSuchSpace => Err(Refusal::SpaceNotFound),
        Outcome::KeyTooLong => Err(Refusal::KeyTooLong { limit: MAX_KEY_LEN }),
    }
}

/// What a client is told when the store could not do it.
pub(super) fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::NoSuchSpace => Refusal::SpaceNotFound,
        other => Refusal::Other(other.to_string()),
    }
}
