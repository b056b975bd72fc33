//! The types of requests: for parsing, rendering and counting.

use super::request::{AdminRequest, Request};
use crate::named_enum::named_enum;

named_enum! {
    /// The type of a request, without its fields. Its name is the `type` that clients send.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[expect(missing_docs, reason = "they are those of the requests")]
    #[repr(u8)]
    pub enum RequestKind {
        Get = "GET",
        Put = "PUT",
        Delete = "DELETE",
        UseSpace = "USE_SPACE",
        ListSpaces = "LIST_SPACES",
        CreateSpace = "CREATE_SPACE",
        DeleteSpace = "DELETE_SPACE",
        CreateUser = "CREATE_USER",
        UpdateUserPassword = "UPDATE_USER_PASSWORD",
        UpdateUserRole = "UPDATE_USER_ROLE",
        UpdateUserPermissions = "UPDATE_USER_PERMISSIONS",
        DeleteUser = "DELETE_USER",
        GetUser = "GET_USER",
        /// Any request of the vector engine; no client sends this name.
        Vector = "VECTOR",
        /// An invalid request; no client sends this name.
        Invalid = "INVALID",
    }
}

/// The requests of the vector engine, which does not exist yet.
const VECTOR: [&str; 5] = ["INSERT_VECTOR", "SEARCH_TOPK", "RANGE_SEARCH", "GET_VECTOR", "DELETE_VECTOR"];

impl RequestKind {
    /// The kind of this `type`.
    pub(super) fn of_type(name: &str) -> Option<Self> {
        match Self::from_name(name) {
            Some(Self::Vector | Self::Invalid) => None,
            None => VECTOR.contains(&name).then_some(Self::Vector),
            kind => kind,
        }
    }
}

impl Request<'_> {
    /// Its type.
    pub fn kind(&self) -> RequestKind {
        match self {
            Self::Put { .. } => RequestKind::Put,
            Self::Get { .. } => RequestKind::Get,
            Self::Delete { .. } => RequestKind::Delete,
            Self::UseSpace { .. } => RequestKind::UseSpace,
            Self::ListSpaces => RequestKind::ListSpaces,
            Self::Admin(request) => request.kind(),
            Self::Vector => RequestKind::Vector,
        }
    }
}

impl AdminRequest {
    fn kind(&self) -> RequestKind {
        match self {
            Self::CreateSpace { .. } => RequestKind::CreateSpace,
            Self::DeleteSpace { .. } => RequestKind::DeleteSpace,
            Self::CreateUser { .. } => RequestKind::CreateUser,
            Self::UpdatePassword { .. } => RequestKind::UpdateUserPassword,
            Self::UpdateRole { .. } => RequestKind::UpdateUserRole,
            Self::UpdatePermissions { .. } => RequestKind::UpdateUserPermissions,
            Self::DeleteUser { .. } => RequestKind::DeleteUser,
            Self::GetUser { .. } => RequestKind::GetUser,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::RequestError;
    use super::*;

    #[test]
    fn what_a_client_may_send_is_in_the_list() {
        for kind in RequestKind::ALL {
            let line = format!(r#"{{"type":"{}"}}"#, kind.name());
            let is_known = !matches!(Request::parse(line.as_bytes()), Err(RequestError::UnknownType(_)));
            assert_eq!(is_known, !matches!(kind, RequestKind::Vector | RequestKind::Invalid), "{line}");
        }
        for name in VECTOR {
            let line = format!(r#"{{"type":"{name}"}}"#);
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), Request::Vector);
        }
    }
}
