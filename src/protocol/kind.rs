//! Requests by their type alone, for whoever counts them.

use super::request::{AdminRequest, Request};
use crate::named_enum::named_enum;

named_enum! {
    /// The type of a request, without what it is about. Its name is the type as clients send it, in lower case.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[expect(missing_docs, reason = "they are those of the requests")]
    #[repr(u8)]
    pub enum RequestKind {
        Get = "get",
        Put = "put",
        Delete = "delete",
        UseSpace = "use_space",
        ListSpaces = "list_spaces",
        CreateSpace = "create_space",
        DeleteSpace = "delete_space",
        CreateUser = "create_user",
        UpdateUserPassword = "update_user_password",
        UpdateUserRole = "update_user_role",
        UpdateUserPermissions = "update_user_permissions",
        DeleteUser = "delete_user",
        GetUser = "get_user",
        /// Any request of the vector engine.
        Vector = "vector",
        /// What is not a request.
        Invalid = "invalid",
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
