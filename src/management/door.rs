//! The door that a request came through, and its actor.

use axum::extract::rejection::ExtensionRejection;
use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;

use super::caller::Caller;
use super::wire::{CLI_DOOR, DOOR_HEADER};
use crate::control::{Actor, Door};

/// The sender of this request, as the history will record it.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) door: Door,
    pub(super) actor: Actor,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ExtensionRejection> {
        let mut doors = parts.headers.get_all(DOOR_HEADER).iter();
        let door = match (doors.next(), doors.next()) {
            (Some(value), None) if value.as_bytes() == CLI_DOOR.as_bytes() => Door::Cli,
            _ => Door::Http,
        };
        let Extension(caller) = Extension::<Caller>::from_request_parts(parts, state).await?;
        Ok(Self { door, actor: caller.identified().await })
    }
}
