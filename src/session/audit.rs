//! The actions of administrators, and attempts of others, for the log: which act, on whom or what, by whom, from where,
//! and its outcome.
//!
//! These events have a separate target, and so a message id in the journal. They never contain passwords.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::auth::{Account, Role};
use crate::logging::AUDIT;
use crate::names::shown;
use crate::net::{RHYTHM, Storm, Untold};
use crate::protocol::{AdminRequest, Refusal};

/// A client may send a text as long as a request. A valid name is shorter than this, in characters.
const LONGEST_SHOWN: usize = 200;

/// The most rights of a user that a line lists.
const MOST_LISTED: usize = 20;

/// The user who sent the request, and the address of the client.
#[derive(Debug, Clone)]
pub(super) struct Administrator {
    pub(super) username: String,
    pub(super) peer: SocketAddr,
}

/// An act, noted before it is tried.
#[derive(Debug)]
pub(super) struct Act {
    /// One word, for programs.
    name: &'static str,
    /// The user or the space.
    object: String,
    /// The object with its property: `password of user zoe`.
    subject: String,
    /// The verb: `changed`.
    deed: &'static str,
    /// The new value, if the line names it: ` to admin`.
    details: String,
}

/// Attempts of users who are not administrators. The first is logged as it comes, the others as a number, so that no
/// client can flood the log.
#[derive(Debug)]
pub(super) struct Attempts(Storm);

impl Act {
    /// The act in a request; `None` if the request changes nothing.
    pub(super) fn of(request: &AdminRequest) -> Option<Self> {
        let act = |name, of, object: &str, deed, details| {
            let object = brief(object);
            Some(Self { name, subject: format!("{of}{object}"), object, deed, details })
        };
        let none = String::new();
        match request {
            AdminRequest::CreateSpace { space, .. } => act("space_created", "space ", space, "created", none),
            AdminRequest::DeleteSpace { space } => act("space_deleted", "space ", space, "deleted", none),
            AdminRequest::CreateUser { username, role, permissions, .. } => {
                let role = role.as_deref().unwrap_or(Role::User.name());
                let details = format!(" as {} with {}", brief(role), rights(permissions));
                act("user_created", "user ", username, "created", details)
            }
            AdminRequest::UpdatePassword { username, .. } => {
                act("password_changed", "password of user ", username, "changed", none)
            }
            AdminRequest::UpdateRole { username, role } => {
                act("role_changed", "role of user ", username, "changed", format!(" to {}", brief(role)))
            }
            AdminRequest::UpdatePermissions { username, permissions } => {
                let details = format!(" to {}", rights(permissions));
                act("rights_changed", "rights of user ", username, "changed", details)
            }
            AdminRequest::DeleteUser { username } => act("user_deleted", "user ", username, "deleted", none),
            AdminRequest::GetUser { .. } => None,
        }
    }

    /// Logs the outcome.
    pub(super) fn log<T>(
        &self,
        Administrator { username, peer }: &Administrator,
        result: &Result<T, Refusal>,
    ) {
        let Self { name: act, object, subject, deed, details } = self;
        let user = shown(username);
        match result {
            Ok(_) => tracing::info!(target: AUDIT, act, object, %user, %peer, outcome = "done",
                "{subject} {deed}{details} by {user} from {peer}"),
            Err(refusal) => {
                let reason = brief(&refusal.to_string());
                tracing::warn!(target: AUDIT, act, object, %user, %peer, outcome = "refused", reason,
                    "{subject} not {deed}{details} by {user} from {peer}: {reason}");
            }
        }
    }
}

impl Attempts {
    /// Records that a user who is not an administrator asked for `request`, and was refused.
    pub(super) fn note(&self, request: &AdminRequest, account: &Account, peer: SocketAddr) {
        if matches!(request, AdminRequest::GetUser { .. }) {
            return;
        }
        if !self.0.begins(peer.ip()) {
            return;
        }
        let who = Administrator { username: account.username.clone(), peer };
        if let Some(act) = Act::of(request) {
            act.log(&who, &Err::<(), _>(Refusal::AdminRequired));
        }
    }

    /// Whether there is something to log, or may be within the interval.
    pub(super) fn is_going_on(&self) -> bool {
        self.0.is_going_on()
    }

    /// Logs the recorded attempts that are due. Must be called as often as [`RHYTHM`] says.
    pub(super) fn log(&self) {
        let Some((Untold { count: attempts, .. }, peers)) = self.0.look() else { return };
        tracing::warn!(target: AUDIT, act = "attempts", attempts, peers, outcome = "refused",
            "refused {attempts} more administrative requests from users who are not administrators, most often from \
             {peers}");
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Storm::new(RHYTHM))
    }
}

/// The rights in words, as requested.
fn rights(permissions: &BTreeMap<String, String>) -> String {
    let listed = permissions.iter().take(MOST_LISTED);
    let listed: Vec<_> =
        listed.map(|(space, access)| format!("{} {}", brief(access), brief(space))).collect();
    match permissions.len() {
        0 => "no rights".to_owned(),
        all if all > MOST_LISTED => format!("{} and {} more", listed.join(", "), all - MOST_LISTED),
        _ => listed.join(", "),
    }
}

/// Text from a client, escaped to one line and shortened.
fn brief(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", shown(&text[..end])),
        None => shown(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_one_line_of_bounded_length() {
        let delete = |username: String| Act::of(&AdminRequest::DeleteUser { username }).unwrap().subject;
        assert_eq!(delete("zoe".into()), "user zoe");
        assert!(!delete("zoe\nINFO user eve created".into()).contains('\n'));
        assert!(delete("x".repeat(1 << 20)).len() < 2 * LONGEST_SHOWN);
        let permissions = (0..100).map(|n| (format!("s{n:02}"), "read".to_owned())).collect();
        assert!(rights(&permissions).ends_with("read s19 and 80 more"));
    }
}
