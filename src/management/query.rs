//! The part of a URL behind the question mark.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use super::failure::ApiError;

/// The query of a URL as its names and values.
pub(super) type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The names and values.
///
/// # Errors
/// 400 if it is not UTF-8.
pub(super) fn pairs(parameters: Parameters) -> Result<Vec<(String, String)>, ApiError> {
    parameters.map(|Query(pairs)| pairs).map_err(|rejection| ApiError::bad_request(rejection.body_text()))
}

/// `?name=N` as the only parameter; `None` without it.
///
/// # Errors
/// 400 if N is not from 1 to `most`, or there is another parameter. An unknown name is an error: otherwise a misspelt
/// parameter would silently get the default.
pub(super) fn number(parameters: Parameters, name: &str, most: u16) -> Result<Option<u16>, ApiError> {
    match pairs(parameters)?.as_slice() {
        [] => Ok(None),
        [(found, value)] if found == name => {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.map(Some).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "{name} must be a whole number from 1 to {most}, got `{value}`"
                ))
            })
        }
        pairs => Err(match pairs.iter().find(|(found, _)| found != name) {
            Some((other, _)) => {
                ApiError::bad_request(format!("unknown parameter `{other}`, expected `{name}`"))
            }
            None => ApiError::bad_request(format!("`{name}` is given more than once")),
        }),
    }
}
