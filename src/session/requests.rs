//! The meaning of users' requests, and whether the user may make them. Nothing here waits.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::Account;
use crate::protocol::{AdminRequest, Done, Refusal, Reply, Request, Text};
use crate::store::{Read, Space, Value, Write};

use super::Services;
use super::answers::refusal;

/// A client that is logged in.
#[derive(Debug)]
pub(super) struct User {
    pub(super) account: Arc<Account>,
    /// The generation of the accounts that `account` was read at, or an earlier one.
    pub(super) generation: u64,
    /// The space of requests without one.
    pub(super) space: Option<Space>,
}

/// A request that could be handled at once.
pub(super) enum Handled {
    Reply(Reply<'static>),
    Found(Value),
    Spaces(Vec<Space>),
    Collected(Write),
    /// To read on a thread that may wait.
    Fetch(Read),
    Administer(Box<AdminRequest>),
}

impl User {
    /// Reads the account again if any has changed. `false` if it is gone, even if another has its name.
    pub(super) fn refresh(&mut self, services: &Services) -> bool {
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
    pub(super) fn handle(
        &mut self,
        request: Request<'_>,
        in_turn: bool,
        services: &Services,
        peer: SocketAddr,
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
                services.attempts.note(&request, &self.account, peer);
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

    /// The named space, or the one in use. Permission comes first: a user without it does not learn which spaces there
    /// are.
    fn permitted(
        &self,
        named: Option<Text<'_>>,
        services: &Services,
        may: fn(&Account, &str) -> bool,
        denied: Refusal,
    ) -> Result<Space, Refusal> {
        match (named, &self.space) {
            (Some(name), _) if !may(&self.account, &name) => Err(denied),
            // Most requests name the space in use anyway: this saves the look-up.
            (Some(name), Some(space)) if *name == *space.name() && !space.is_deleted() => Ok(space.clone()),
            (Some(name), _) => services.store.space(&name).ok_or(Refusal::SpaceNotFound),
            (None, Some(space)) if !may(&self.account, space.name()) => Err(denied),
            (None, Some(space)) => Ok(space.clone()),
            (None, None) => Err(Refusal::NoSpaceSelected),
        }
    }
}
