//! Requests that only an administrator may make. They are rare and may take long.

use std::collections::BTreeMap;

use crate::auth::{Account, AccountError, Accounts, DeleteSpaceError, NewUser, Permission, Role};
use crate::protocol::{AdminRequest, Done, Profile, Refusal, Reply};
use crate::store::SpaceError;

use super::answers::refusal;
use super::audit::{Act, Administrator};
use super::counters::RequestOutcome;

/// Carries out `request` for an administrator, logs that, and appends the answer to `output`.
pub(super) async fn administer(
    request: AdminRequest,
    administrator: &Administrator,
    accounts: &Accounts,
    output: &mut Vec<u8>,
) -> RequestOutcome {
    let done = if let AdminRequest::GetUser { username } = request {
        accounts.account(&username).ok_or(Refusal::UserNotFound).map(|account| {
            with_profile(&account, |profile| Reply::User(profile).render(output));
        })
    } else {
        let act = Act::of(&request);
        let changed = change(request, accounts).await;
        if let Some(act) = act {
            act.log(administrator, &changed);
        }
        changed.map(|done| Reply::Done(done).render(output))
    };
    match done {
        Ok(()) => RequestOutcome::Ok,
        Err(refusal) => {
            let outcome = RequestOutcome::from(&refusal);
            Reply::Refused(refusal).render(output);
            outcome
        }
    }
}

/// Calls `show` with the data of an account that clients may see.
pub(super) fn with_profile(account: &Account, show: impl FnOnce(Profile<'_>)) {
    let permissions: Vec<_> =
        account.permissions.iter().map(|(space, access)| (space.as_str(), access.name())).collect();
    let role = account.role.name();
    show(Profile { username: &account.username, role, permissions: &permissions });
}

async fn change(request: AdminRequest, accounts: &Accounts) -> Result<Done, Refusal> {
    match request {
        AdminRequest::CreateSpace { space, engine, enable_wal } => {
            match engine.as_deref() {
                None | Some("key-value") => {}
                Some("vector") => return Err(Refusal::VectorUnsupported),
                Some(other) => return Err(Refusal::UnknownEngine(other.to_owned())),
            }
            accounts.create_space(&space, enable_wal.unwrap_or(true)).await.map_err(space_refusal)?;
            Ok(Done::SpaceCreated)
        }
        AdminRequest::DeleteSpace { space } => {
            accounts.delete_space(&space).await.map_err(account_or_space_refusal)?;
            Ok(Done::SpaceDeleted)
        }
        AdminRequest::CreateUser { username, password, role, permissions: wanted } => {
            let role = role.map_or(Ok(Role::User), parse_role)?;
            let permissions = parse_permissions(wanted)?;
            let user = NewUser { username, password, role, permissions };
            accounts.create(user).await.map_err(account_refusal)?;
            Ok(Done::UserCreated)
        }
        AdminRequest::UpdatePassword { username, password } => {
            accounts.set_password(&username, &password).await.map_err(account_refusal)?;
            Ok(Done::PasswordUpdated)
        }
        AdminRequest::UpdateRole { username, role } => {
            accounts.set_role(&username, parse_role(role)?).await.map_err(account_refusal)?;
            Ok(Done::RoleUpdated)
        }
        AdminRequest::UpdatePermissions { username, permissions } => {
            let permissions = parse_permissions(permissions)?;
            accounts.set_permissions(&username, permissions).await.map_err(account_refusal)?;
            Ok(Done::RoleUpdated)
        }
        AdminRequest::DeleteUser { username } => {
            accounts.delete(&username).await.map_err(account_refusal)?;
            Ok(Done::UserDeleted)
        }
        AdminRequest::GetUser { .. } => unreachable!("answered without a change"),
    }
}

fn parse_role(role: String) -> Result<Role, Refusal> {
    Role::from_name(&role).ok_or(Refusal::InvalidRole(role))
}

fn parse_permissions(wanted: BTreeMap<String, String>) -> Result<BTreeMap<String, Permission>, Refusal> {
    wanted
        .into_iter()
        .map(|(space, access)| match Permission::from_name(&access) {
            Some(permission) => Ok((space, permission)),
            None => Err(Refusal::InvalidPermission { space, access }),
        })
        .collect()
}

fn space_refusal(error: SpaceError) -> Refusal {
    match error {
        SpaceError::AlreadyExists => Refusal::SpaceExists,
        SpaceError::DoesNotExist => Refusal::SpaceMissing,
        error @ (SpaceError::InvalidName(_) | SpaceError::LooksLike(_)) => Refusal::Other(error.to_string()),
        SpaceError::Store(error) => refusal(&error),
    }
}

fn account_or_space_refusal(error: DeleteSpaceError) -> Refusal {
    match error {
        DeleteSpaceError::Space(error) => space_refusal(error),
        DeleteSpaceError::Account(error) => account_refusal(error),
    }
}

fn account_refusal(error: AccountError) -> Refusal {
    match error {
        AccountError::UserExists => Refusal::UserExists,
        AccountError::UserNotFound => Refusal::UserNotFound,
        other => Refusal::Other(other.to_string()),
    }
}
