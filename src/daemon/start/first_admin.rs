//! The first account and its password: the credential's, the environment's, or a new one.

use std::path::Path;

use super::super::{AdminPassword, RunError};
use crate::auth::{AccountError, Accounts, FirstAdminError, PreparedAdmin};

/// The credential with the administrator's first password.
const ADMIN_CREDENTIAL: &str = "shibudb.admin-password";

/// The source of the administrator's first password.
const OF_CREDENTIAL: &str = "the credential shibudb.admin-password";
const OF_ENVIRONMENT: &str = "the environment variable SHIBUDB_ADMIN_PASSWORD";

/// The first account to be created, with the given password. An invalid one ends the start, unless
/// there are accounts: then it is not needed.
pub(super) async fn first_admin(
    accounts: &Accounts,
    of_environment: Option<AdminPassword>,
    data_dir: &Path,
) -> Result<Option<(PreparedAdmin, Option<&'static str>)>, RunError> {
    let in_environment = of_environment.as_ref().is_some_and(|AdminPassword(password)| !password.is_empty());
    let given = match given_password(of_environment) {
        Err(problem) if accounts.is_empty() => return Err(RunError::Config(problem)),
        Err(problem) => {
            tracing::warn!("{problem}; it is not needed because accounts already exist");
            None
        }
        Ok(given) => given,
    };
    let password = given.as_ref().map(|given| given.password.as_str());
    let prepared =
        accounts.prepare_admin(password, data_dir).await.map_err(|error| match (error, given.as_ref()) {
            (FirstAdminError::Account(problem @ AccountError::InvalidPassword(_)), Some(given)) => {
                RunError::Config(format!("{}: the {problem}", given.source))
            }
            (error, _) => error.into(),
        })?;
    if let (Some(_), Some(GivenPassword { giver: OF_CREDENTIAL, source, .. })) = (&prepared, &given)
        && in_environment
    {
        tracing::warn!("using the password of {source} for the account admin; {OF_ENVIRONMENT} is ignored");
    }
    Ok(prepared.map(|admin| (admin, given.map(|given| given.giver))))
}

/// The administrator's first password.
struct GivenPassword {
    password: String,
    /// [`OF_CREDENTIAL`] or [`OF_ENVIRONMENT`].
    giver: &'static str,
    /// The same with its location.
    source: String,
}

/// The administrator's first password: systemd's credential, else the environment. If it is invalid, the
/// error names its source and what to do.
fn given_password(of_environment: Option<AdminPassword>) -> Result<Option<GivenPassword>, String> {
    if let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let path = Path::new(&directory).join(ADMIN_CREDENTIAL);
        let source = format!("{OF_CREDENTIAL} ({})", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| format!("{source} is not UTF-8"))?;
                let password = text.trim_end_matches(['\r', '\n']).to_owned();
                if password.is_empty() {
                    return Err(format!(
                        "{source} is empty: store the initial password of the account admin there, or remove the \
                         credential to have one generated"
                    ));
                }
                return Ok(Some(GivenPassword { password, giver: OF_CREDENTIAL, source }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot read {source}: {error}")),
        }
    }
    // In a template, an empty variable means that there is none.
    let Some(AdminPassword(password)) = of_environment.filter(|AdminPassword(password)| !password.is_empty())
    else {
        return Ok(None);
    };
    Ok(Some(GivenPassword { password, giver: OF_ENVIRONMENT, source: OF_ENVIRONMENT.to_owned() }))
}
