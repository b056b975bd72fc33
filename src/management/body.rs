//! Request bodies: an object with at most one field, a whole number.
//!
//! Parsed by hand rather than into a struct, since the answer to a wrong body must name the error and the expected
//! form. Unknown and repeated fields are errors: `{"amuont":500}` must not get the default step.
//!
//! Public for the fuzzing, which reads bodies without a server around them.

use std::fmt;
use std::num::NonZeroU64;

use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::failure::ApiError;
use super::wire::{LARGEST_NUMBER, MEDIA_TYPE};

/// How much of a wrong value the answer repeats, in characters.
const SHOWN: usize = 40;

/// The fields of an object, each with the text of its value.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

/// `{"limit":N}`. Zero and less are numbers too: control refuses and records those.
///
/// # Errors
/// 400 for any other body, 415 for one that is not declared as JSON.
pub fn limit(headers: &HeaderMap, body: &[u8]) -> Result<i64, ApiError> {
    let example = r#"{"limit":2000}"#;
    let fields = Fields::read(headers, body, example)?.unwrap_or(Fields(Vec::new()));
    let value = fields.only("limit", example)?;
    whole(value).filter(|&limit| limit <= LARGEST_NUMBER).ok_or_else(|| {
        ApiError::bad_request(format!(
            "limit must be a whole number from 1 to {LARGEST_NUMBER}, got {}",
            shown(value)
        ))
    })
}

/// `{"amount":N}`; `None` for an empty body.
///
/// # Errors
/// As [`limit`], and 400 for zero and less.
pub fn amount(headers: &HeaderMap, body: &[u8]) -> Result<Option<NonZeroU64>, ApiError> {
    let example = r#"{"amount":100}"#;
    let Some(fields) = Fields::read(headers, body, example)? else { return Ok(None) };
    let value = fields.only("amount", example)?;
    let wrong = |expected| Err(ApiError::bad_request(format!("{expected}, got {}", shown(value))));
    match whole(value) {
        Some(amount) if amount > LARGEST_NUMBER => {
            wrong(format!("amount must be a positive whole number up to {LARGEST_NUMBER}"))
        }
        amount => match amount.and_then(|amount| u64::try_from(amount).ok()).and_then(NonZeroU64::new) {
            Some(amount) => Ok(Some(amount)),
            None => wrong("amount must be a positive whole number".to_owned()),
        },
    }
}

/// A body without content: empty, or an object without fields.
///
/// # Errors
/// 400 for any other body, 415 for one that is not declared as JSON.
pub fn no_fields(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    match Fields::read(headers, body, "{}")?.and_then(|fields| fields.0.into_iter().next()) {
        None => Ok(()),
        Some((name, _)) => {
            Err(ApiError::bad_request(format!("unknown field `{}`, expected none", cut(&name))))
        }
    }
}

impl<'a> Fields<'a> {
    /// `None` if there is no body.
    fn read(headers: &HeaderMap, body: &'a [u8], example: &str) -> Result<Option<Self>, ApiError> {
        if body.is_empty() {
            return Ok(None);
        }
        if !is_json(headers) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "a body must have the header Content-Type: application/json",
            ));
        }
        serde_json::from_slice(body).map(Some).map_err(|error| {
            ApiError::bad_request(if error.is_data() {
                format!("the body must be a JSON object such as {example}")
            } else {
                format!("the body is not valid JSON: {error}")
            })
        })
    }

    fn only(&self, name: &str, example: &str) -> Result<&'a RawValue, ApiError> {
        let mut value = None;
        for (field, raw) in &self.0 {
            if field != name {
                let field = cut(field);
                return Err(ApiError::bad_request(format!("unknown field `{field}`, expected `{name}`")));
            }
            if value.replace(*raw).is_some() {
                return Err(ApiError::bad_request(format!("`{name}` is given more than once")));
            }
        }
        value.ok_or_else(|| {
            ApiError::bad_request(format!("`{name}` is missing: expected a body such as {example}"))
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Collect).map(Fields)
    }
}

/// Whether the body is declared as JSON, whatever parameters (`charset`) come with it.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(declared), None) = (types.next(), types.next()) else { return false };
    declared
        .to_str()
        .ok()
        .and_then(|declared| declared.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// The number, if it is written as digits: `1.0` and `1e3` count as fractions here, since their meaning is unclear. One
/// that does not fit becomes the closest that does, which is out of range as well.
fn whole(value: &RawValue) -> Option<i64> {
    let text = value.get();
    let (digits, extreme) = match text.strip_prefix('-') {
        Some(digits) => (digits, i64::MIN),
        None => (text, i64::MAX),
    };
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().unwrap_or(extreme))
}

/// A wrong value, shortened for the answer.
fn shown(value: &RawValue) -> String {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        _ => cut(value.get()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
