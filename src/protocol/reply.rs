//! The replies to clients, word for word.

use std::time::Duration;

use super::request::RequestError;
use crate::names::shown;

/// One reply, rendered as one line.
#[derive(Debug)]
pub enum Reply<'a> {
    /// It is done.
    Done(Done),
    /// The value of a key. Values were stored as strings, so they are UTF-8.
    Value(&'a [u8]),
    /// A login that succeeded.
    Welcome(Profile<'a>),
    /// The answer to `LIST_SPACES`.
    Spaces(&'a [&'a str]),
    /// The answer to `GET_USER`.
    User(Profile<'a>),
    /// The request was not carried out, and why.
    Refused(Refusal),
}

/// What was done, in the protocol's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A value was stored.
    Stored,
    /// A key was removed.
    Deleted,
    /// The session uses another space.
    SpaceChanged,
    /// A space was made.
    SpaceCreated,
    /// A space was removed.
    SpaceDeleted,
    /// A user was made.
    UserCreated,
    /// A user has a new password.
    PasswordUpdated,
    /// A user has a new role or new permissions. Both have always been answered with the same word.
    RoleUpdated,
    /// A user was removed.
    UserDeleted,
}

/// What a client learns about a user. By design it has no password and no hash.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// The user's name.
    pub username: &'a str,
    /// `admin` or `user`.
    pub role: &'a str,
    /// Pairs of a space and `read` or `write`.
    pub permissions: &'a [(&'a str, &'a str)],
}

/// Why a request was not carried out. What it displays is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Any fault in the login.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// The user may not read this space.
    #[error("read permission denied")]
    ReadDenied,
    /// The user may not write to this space.
    #[error("write permission denied")]
    WriteDenied,
    /// Only an administrator may do this.
    #[error("admin access required")]
    AdminRequired,
    /// The key has no value.
    #[error("key not found")]
    KeyNotFound,
    /// The space to use does not exist.
    #[error("space not found")]
    SpaceNotFound,
    /// The space to create exists already.
    #[error("space already exists")]
    SpaceExists,
    /// The space to remove does not exist.
    #[error("space does not exist")]
    SpaceMissing,
    /// The user to create exists already.
    #[error("user already exists")]
    UserExists,
    /// The user does not exist.
    #[error("user not found")]
    UserNotFound,
    /// The request names no space, and none is in use.
    #[error("no space selected: name one in \"space\", or choose one with USE_SPACE")]
    NoSpaceSelected,
    /// The request is for the vector engine.
    #[error("vector spaces are not supported by this server: engine_type must be \"key-value\"")]
    VectorUnsupported,
    /// The requested engine of the space is unknown.
    #[error("unknown engine_type \"{0}\": expected \"key-value\"")]
    UnknownEngine(String),
    /// The requested role of the user is unknown.
    #[error("invalid role \"{0}\": expected \"admin\" or \"user\"")]
    InvalidRole(String),
    /// The requested permission of the user is unknown.
    #[error("invalid permission \"{access}\" for space \"{space}\": expected \"read\" or \"write\"")]
    InvalidPermission {
        /// The space of the permission.
        space: String,
        /// The unknown permission.
        access: String,
    },
    /// The key is longer than the store allows.
    #[error("key too long: a key may have at most {limit} bytes")]
    KeyTooLong {
        /// The most bytes a key may have.
        limit: usize,
    },
    /// The line exceeds the longest request allowed. The connection ends with this reply.
    #[error("request too long: a line may have at most {limit} bytes")]
    LineTooLong {
        /// The most bytes a line may have.
        limit: usize,
    },
    /// The request did not arrive completely in time, or held memory that others waited for. The connection ends with
    /// this reply.
    #[error(
        "request too slow: it must come to its end within {longest:?}, and sooner while the server is short \
         of memory"
    )]
    TooSlow {
        /// The longest time that a request may take.
        longest: Duration,
    },
    /// The limit of open connections is reached. The connection ends with this reply.
    #[error("Server at maximum capacity ({limit} connections). Please try again later.")]
    AtCapacity {
        /// The limit that was reached.
        limit: u32,
    },
    /// The line is not a valid request.
    #[error(transparent)]
    BadRequest(#[from] RequestError),
    /// Anything else, with a message from elsewhere.
    #[error("{0}")]
    Other(String),
}

/// The longest message of an error, in bytes. Parse errors quote their input, which may be a whole value.
const LONGEST_MESSAGE: usize = 300;

impl Reply<'_> {
    /// Appends the answer and its line feed to `out`.
    pub fn render(&self, out: &mut Vec<u8>) {
        match self {
            Self::Done(done) => {
                out.extend_from_slice(br#"{"status":"OK","message":""#);
                out.extend_from_slice(done.word().as_bytes());
                out.extend_from_slice(b"\"");
            }
            Self::Value(value) => {
                out.extend_from_slice(br#"{"status":"OK","value":"#);
                match std::str::from_utf8(value) {
                    Ok(text) => string(out, text),
                    Err(_) => string(out, &String::from_utf8_lossy(value)),
                }
            }
            Self::Welcome(profile) => {
                out.extend_from_slice(br#"{"status":"OK","user":"#);
                profile.object(out);
            }
            Self::Spaces(names) => {
                // A document inside a string: clients parse it twice.
                let mut document = br#"{"status":"OK","spaces":["#.to_vec();
                list(&mut document, names, |out, name| string(out, name));
                document.extend_from_slice(b"]}");
                message(out, "OK", &String::from_utf8_lossy(&document));
            }
            Self::User(profile) => message(out, "OK", &profile.sentence()),
            Self::Refused(refusal) => {
                let mut words = refusal.to_string();
                let fits = |end: &usize| *end <= LONGEST_MESSAGE;
                if let Some(end) = words.char_indices().map(|(at, _)| at).take_while(fits).last()
                    && words.len() > LONGEST_MESSAGE
                {
                    words.truncate(end);
                }
                message(out, "ERROR", &words);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

impl From<Done> for Reply<'_> {
    fn from(done: Done) -> Self {
        Self::Done(done)
    }
}

impl From<Refusal> for Reply<'_> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Self::Stored => "OK",
            Self::Deleted => "DELETED",
            Self::SpaceChanged => "SPACE_CHANGED",
            Self::SpaceCreated => "SPACE_CREATED",
            Self::SpaceDeleted => "SPACE_DELETED",
            Self::UserCreated => "USER_CREATED",
            Self::PasswordUpdated => "USER_PASSWORD_UPDATED",
            Self::RoleUpdated => "USER_ROLE_UPDATED",
            Self::UserDeleted => "USER_DELETED",
        }
    }
}

impl Profile<'_> {
    fn object(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"username":"#);
        string(out, self.username);
        out.extend_from_slice(br#","role":"#);
        string(out, self.role);
        out.extend_from_slice(br#","permissions":{"#);
        list(out, self.permissions, |out, (space, access)| {
            string(out, space);
            out.push(b':');
            string(out, access);
        });
        out.extend_from_slice(b"}}");
    }

    fn sentence(&self) -> String {
        let pairs: Vec<_> =
            self.permissions.iter().map(|(space, access)| format!("{}={access}", shown(space))).collect();
        let permissions = if pairs.is_empty() { "None".to_owned() } else { pairs.join(", ") };
        let username = shown(self.username);
        format!("Username: {username} | Role: {} | Permissions: {permissions}", self.role)
    }
}

/// Appends all but the closing brace of a reply that consists of a status and a message.
fn message(out: &mut Vec<u8>, status: &str, text: &str) {
    out.extend_from_slice(br#"{"status":""#);
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(br#"","message":"#);
    string(out, text);
}

fn list<T>(out: &mut Vec<u8>, items: &[T], item: impl Fn(&mut Vec<u8>, &T)) {
    for (index, each) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, each);
    }
}

/// Appends `text` as a JSON string, quotes and escapes included.
fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can always be rendered into memory");
}
