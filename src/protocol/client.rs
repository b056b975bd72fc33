//! The client's side of the protocol: renders a request, reads an answer.
//!
//! Requests are the server's own types, so that what one side writes is what the other reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kind::RequestKind;
use super::request::{AdminRequest, Login, Request};

/// The server's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out, in the server's words.
    Done(String),
    /// The requested value.
    Value(String),
    /// It was refused, and why.
    Refused(String),
}

/// The line is not an answer of this protocol.
#[derive(Debug, thiserror::Error)]
#[error("what the server sent is not an answer: {0}")]
pub struct AnswerError(#[from] serde_json::Error);

/// Every field of every request, in the order of the documentation.
#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_wal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_user: Option<User<'a>>,
}

#[derive(Default, Serialize)]
struct User<'a> {
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Fields {
    status: Status,
    #[serde(default)]
    message: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Ok,
    Error,
}

#[derive(Deserialize)]
struct Spaces {
    spaces: Vec<String>,
}

impl Login {
    /// The first line of a connection, line feed included.
    pub fn render(&self) -> Vec<u8> {
        let user =
            User { username: &self.username, password: Some(&self.password), role: None, permissions: None };
        line(&user)
    }
}

impl Request<'_> {
    /// The request as one line, line feed included. [`Request::parse`] parses it into the same request.
    pub fn render(&self) -> Vec<u8> {
        let kind = match self.kind() {
            // This client has no vector requests; the server refuses all of them alike.
            RequestKind::Vector => "GET_VECTOR",
            kind => kind.name(),
        };
        let fields = match self {
            Self::Put { space, key, value } => {
                Line { space: space.as_deref(), key: Some(key), value: Some(value), ..Line::default() }
            }
            Self::Get { space, key } | Self::Delete { space, key } => {
                Line { space: space.as_deref(), key: Some(key), ..Line::default() }
            }
            Self::UseSpace { space } => Line { space: Some(space), ..Line::default() },
            Self::ListSpaces | Self::Vector => Line::default(),
            Self::Admin(request) => request.fields(),
        };
        line(&Line { kind, ..fields })
    }
}

impl AdminRequest {
    /// All but the type.
    fn fields(&self) -> Line<'_> {
        match self {
            Self::CreateSpace { space, engine, enable_wal } => Line {
                space: Some(space),
                engine_type: engine.as_deref(),
                enable_wal: *enable_wal,
                ..Line::default()
            },
            Self::DeleteSpace { space } => Line { data: Some(space), ..Line::default() },
            Self::CreateUser { username, password, role, permissions } => about(User {
                username,
                password: Some(password),
                role: role.as_deref(),
                permissions: Some(permissions),
            }),
            Self::UpdatePassword { username, password } => {
                about(User { username, password: Some(password), ..User::default() })
            }
            Self::UpdateRole { username, role } => {
                about(User { username, role: Some(role), ..User::default() })
            }
            Self::UpdatePermissions { username, permissions } => {
                about(User { username, permissions: Some(permissions), ..User::default() })
            }
            Self::DeleteUser { username } => {
                Line { delete_user: Some(User { username, ..User::default() }), ..Line::default() }
            }
            Self::GetUser { username } => Line { data: Some(username), ..Line::default() },
        }
    }
}

impl Answer {
    /// Reads one line, with or without its line feed. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`AnswerError`] if it is not an answer.
    pub fn parse(line: &[u8]) -> Result<Self, AnswerError> {
        let Fields { status, message, value } = serde_json::from_slice(line)?;
        Ok(match (status, value) {
            (Status::Error, _) => Self::Refused(message),
            (Status::Ok, Some(value)) => Self::Value(value),
            (Status::Ok, None) => Self::Done(message),
        })
    }
}

/// The names in the message that answers `LIST_SPACES`: a document inside a string.
///
/// # Errors
/// [`AnswerError`] if it is not such a document.
pub fn spaces(message: &str) -> Result<Vec<String>, AnswerError> {
    let Spaces { spaces } = serde_json::from_str(message)?;
    Ok(spaces)
}

fn about(user: User<'_>) -> Line<'_> {
    Line { new_user: Some(user), ..Line::default() }
}

fn line(fields: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(fields).expect("strings can always be rendered into memory");
    line.push(b'\n');
    line
}
