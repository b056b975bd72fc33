//! What a client may ask, parsed from one line.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::kind::RequestKind;
use super::text::Text;

/// The first line of a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password as typed. Never logged, never sent back.
    pub password: String,
}

/// One request of a client that is logged in.
///
/// Where `space` is optional, leaving it out means the space chosen with `USE_SPACE`.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Store a value under a key.
    Put {
        /// The space to write to.
        space: Option<Text<'a>>,
        /// Any string.
        key: Text<'a>,
        /// Any string.
        value: Text<'a>,
    },
    /// Read the value of a key.
    Get {
        /// The space to read from.
        space: Option<Text<'a>>,
        /// Any string.
        key: Text<'a>,
    },
    /// Remove a key and its value.
    Delete {
        /// The space to write to.
        space: Option<Text<'a>>,
        /// Any string.
        key: Text<'a>,
    },
    /// Choose the space for requests that name none.
    UseSpace {
        /// The space to use from now on.
        space: Text<'a>,
    },
    /// Name the spaces that the user may read.
    ListSpaces,
    /// Something only an administrator may do.
    Admin(Box<AdminRequest>),
    /// A request of the vector engine, which does not exist yet.
    Vector,
}

/// A request that only an administrator may make. Rare, hence owned: it outlives the line while it is carried out.
#[derive(Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// Create a space.
    CreateSpace {
        /// Its name.
        space: String,
        /// `key-value`, `vector` or any other word; without it, `key-value`.
        engine: Option<String>,
        /// `Some(false)` accepts losing the last second in a crash; without it, the server's durability applies.
        enable_wal: Option<bool>,
    },
    /// Remove a space and all its keys.
    DeleteSpace {
        /// Its name.
        space: String,
    },
    /// Create a user.
    CreateUser {
        /// The new user's name.
        username: String,
        /// The new user's password.
        password: String,
        /// A role by name; without it, the ordinary one.
        role: Option<String>,
        /// A map from space to `read` or `write`.
        permissions: BTreeMap<String, String>,
    },
    /// Replace a user's password.
    UpdatePassword {
        /// The user's name.
        username: String,
        /// The new password.
        password: String,
    },
    /// Replace a user's role.
    UpdateRole {
        /// The user's name.
        username: String,
        /// The new role by name.
        role: String,
    },
    /// Replace all permissions of a user.
    UpdatePermissions {
        /// The user's name.
        username: String,
        /// A map from space to `read` or `write`.
        permissions: BTreeMap<String, String>,
    },
    /// Remove a user.
    DeleteUser {
        /// The user's name.
        username: String,
    },
    /// Describe a user.
    GetUser {
        /// The user's name.
        username: String,
    },
}

/// Why a line is not a request. The session goes on.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The line is not JSON.
    #[error("invalid JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The line is JSON, but a field has the wrong type or appears twice.
    #[error("invalid request: {0}")]
    Field(#[source] serde_json::Error),
    /// The line is JSON, but not an object.
    #[error("invalid request: expected a JSON object")]
    NotAnObject,
    /// A required field of the request is missing.
    #[error("{request}: missing field \"{field}\"")]
    Missing {
        /// The type of the request.
        request: &'static str,
        /// The name of the field.
        field: &'static str,
    },
    /// There is no `type` field.
    #[error("missing field \"type\"")]
    MissingType,
    /// No request has this type.
    #[error("unknown request type \"{0}\"")]
    UnknownType(String),
}

/// Every field of every request. One flat structure, so that fields may come in any order and the line is read once.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    space: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    engine_type: Option<Text<'a>>,
    enable_wal: Option<bool>,
    new_user: Option<Box<User>>,
    delete_user: Option<Box<User>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: Option<String>,
    password: Option<String>,
    role: Option<String>,
    permissions: Option<BTreeMap<String, String>>,
}

impl Login {
    /// Reads the first line of a connection.
    ///
    /// Does not report what is wrong with the line, because the client does not learn it either.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let user: User = object(line).ok()?;
        Some(Self { username: user.username?, password: user.password? })
    }
}

impl<'a> Request<'a> {
    /// Reads one line, without its line feed. Fields that no request knows are ignored.
    ///
    /// # Errors
    /// A [`RequestError`] that says what is wrong with the line, in words for the client.
    pub fn parse(line: &'a [u8]) -> Result<Self, RequestError> {
        let fields: Fields<'a> = object(line)?;
        let name = fields.kind.as_deref().ok_or(RequestError::MissingType)?;
        let Some(kind) = RequestKind::of_type(name) else {
            return Err(RequestError::UnknownType(name.to_owned()));
        };
        match kind {
            RequestKind::Put => {
                let (space, key, value) = (fields.space, fields.key, fields.value);
                let (key, value) = (need(key, kind, "key")?, need(value, kind, "value")?);
                Ok(Self::Put { space: named(space), key, value })
            }
            RequestKind::Get => {
                Ok(Self::Get { space: named(fields.space), key: need(fields.key, kind, "key")? })
            }
            RequestKind::Delete => {
                Ok(Self::Delete { space: named(fields.space), key: need(fields.key, kind, "key")? })
            }
            RequestKind::UseSpace => Ok(Self::UseSpace { space: need(fields.space, kind, "space")? }),
            RequestKind::ListSpaces => Ok(Self::ListSpaces),
            RequestKind::Vector => Ok(Self::Vector),
            RequestKind::CreateSpace
            | RequestKind::DeleteSpace
            | RequestKind::CreateUser
            | RequestKind::UpdateUserPassword
            | RequestKind::UpdateUserRole
            | RequestKind::UpdateUserPermissions
            | RequestKind::DeleteUser
            | RequestKind::GetUser
            | RequestKind::Invalid => Ok(Self::Admin(Box::new(AdminRequest::from_fields(kind, fields)?))),
        }
    }
}

impl AdminRequest {
    fn from_fields(kind: RequestKind, fields: Fields<'_>) -> Result<Self, RequestError> {
        let new_user = fields.new_user;
        match kind {
            RequestKind::CreateSpace => Ok(Self::CreateSpace {
                space: need(fields.space, kind, "space")?.into_owned(),
                engine: fields.engine_type.map(Text::into_owned),
                enable_wal: fields.enable_wal,
            }),
            RequestKind::DeleteSpace => {
                Ok(Self::DeleteSpace { space: need(fields.data, kind, "data")?.into_owned() })
            }
            RequestKind::CreateUser => {
                let user = need(new_user, kind, "new_user")?;
                Ok(Self::CreateUser {
                    username: need(user.username, kind, "new_user.username")?,
                    password: need(user.password, kind, "new_user.password")?,
                    role: user.role,
                    permissions: user.permissions.unwrap_or_default(),
                })
            }
            RequestKind::UpdateUserPassword => {
                let user = need(new_user, kind, "new_user")?;
                Ok(Self::UpdatePassword {
                    username: need(user.username, kind, "new_user.username")?,
                    password: need(user.password, kind, "new_user.password")?,
                })
            }
            RequestKind::UpdateUserRole => {
                let user = need(new_user, kind, "new_user")?;
                Ok(Self::UpdateRole {
                    username: need(user.username, kind, "new_user.username")?,
                    role: need(user.role, kind, "new_user.role")?,
                })
            }
            RequestKind::UpdateUserPermissions => {
                let user = need(new_user, kind, "new_user")?;
                let permissions = need(user.permissions, kind, "new_user.permissions")?;
                let username = need(user.username, kind, "new_user.username")?;
                Ok(Self::UpdatePermissions { username, permissions })
            }
            RequestKind::DeleteUser => {
                let user = need(fields.delete_user, kind, "delete_user")?;
                Ok(Self::DeleteUser { username: need(user.username, kind, "delete_user.username")? })
            }
            RequestKind::GetUser => {
                Ok(Self::GetUser { username: need(fields.data, kind, "data")?.into_owned() })
            }
            // Not one of an administrator's.
            _ => Err(RequestError::UnknownType(kind.name().to_owned())),
        }
    }
}

/// Reads an object. serde would take an array of the fields in their order as well; the protocol does not.
fn object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, RequestError> {
    let json = line.trim_ascii_start();
    if json.first() == Some(&b'[') {
        return Err(RequestError::NotAnObject);
    }
    serde_json::from_slice(json)
        .map_err(|error| if error.is_data() { RequestError::Field(error) } else { RequestError::Json(error) })
}

fn need<T>(field: Option<T>, kind: RequestKind, name: &'static str) -> Result<T, RequestError> {
    field.ok_or(RequestError::Missing { request: kind.name(), field: name })
}

/// Some clients send `"space":""` for "the one in use".
fn named(space: Option<Text<'_>>) -> Option<Text<'_>> {
    space.filter(|name| !name.is_empty())
}
