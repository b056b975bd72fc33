//! The client protocol: one line of JSON in, one line of JSON out.
//!
//! This room turns bytes into a [`Request`] or a [`Login`], and a [`Reply`] into bytes. Every text of a reply is in
//! [`reply`], so that clients which match on them find them unchanged. It does no input or output, and knows neither
//! sessions nor spaces nor users.
//!
//! Neither direction builds a tree: strings without escapes are borrowed from the line, and replies are appended to the
//! buffer that is written to the client. The opposite direction of both, for the program's own client, is in
//! [`client`].

pub mod client;
mod kind;
pub mod reply;
mod request;
mod text;

pub use kind::RequestKind;
pub use reply::{Done, Profile, Refusal, Reply};
pub use request::{AdminRequest, Login, Request, RequestError};
pub use text::Text;
