//! Requests by their type alone, for whoever counts them.

use super::request::{AdminRequest, Request};

/// The type of a request, without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of the requests")]
#[repr(u8)]
pub enum RequestKind {
    Get,
    Put,
    Delete,
    UseSpace,
    ListSpaces,
    CreateSpace,
    DeleteSpace,
    CreateUser,
    UpdateUserPassword,
    UpdateUserRole,
    UpdateUserPermissions,
    DeleteUser,
    GetUser,
    /// Any request of the vector engine.
    Vector,
    /// What is not a request.
    Invalid,
}

impl RequestKind {
    /// All of them, in their order.
    pub const ALL: [Self; 15] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::UseSpace,
        Self::ListSpaces,
        Self::CreateSpace,
        Self::DeleteSpace,
        Self::CreateUser,
        Self::UpdateUserPassword,
        Self::UpdateUserRole,
        Self::UpdateUserPermissions,
        Self::DeleteUser,
        Self::GetUser,
        Self::Vector,
        Self::Invalid,
    ];

    /// The type as clients send it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::UseSpace => "use_space",
            Self::ListSpaces => "list_spaces",
            Self::CreateSpace => "create_space",
            Self::DeleteSpace => "delete_space",
            Self::CreateUser => "create_user",
            Self::UpdateUserPassword => "update_user_password",
            Self::UpdateUserRole => "update_user_role",
            Self::UpdateUserPermissions => "update_user_permissions",
            Self::DeleteUser => "delete_user",
            Self::GetUser => "get_user",
            Self::Vector => "vector",
            Self::Invalid => "invalid",
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
    use super::*;

    #[test]
    fn each_stands_where_its_number_says() {
        for (number, kind) in RequestKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{}", kind.name());
        }
    }
}
