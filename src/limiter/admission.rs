//! A place under every limit that applies to a connection, or under none.

use std::num::NonZeroU32;

use super::named::{Name, NamedLimit, Use};
use super::{Limiter, Permit};

/// The right of one connection to be open, under all limits that apply to it. Dropping it frees all its places.
///
/// It is one pointer, since each open connection has one: under one limit, the permit itself; under several, the permit
/// of a limit of one that is made for this connection and has their places.
#[derive(Debug)]
#[must_use = "dropping an admission frees its places at once"]
pub struct Admission {
    permit: Permit,
}

/// Why [`admit`] refused: this limit has no free place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} connections of {name} are in use")]
pub struct NoPlace {
    /// The first limit without a free place.
    pub name: Name,
    /// How many connections it allows.
    pub limit: u32,
}

/// A place under one of several limits.
#[derive(Debug)]
pub(super) struct Place {
    permit: Permit,
    /// Keeps the limit of that name in the list.
    #[expect(dead_code, reason = "held until the place is free")]
    used: Option<Use>,
}

/// Takes a place under each of these limits, in their order: under all of them, or under none. Never waits for one.
///
/// A place that is taken and returned because a later limit has none counts as taken for that instant: another
/// connection may be refused for it, but no limit is ever exceeded. So put the limit that is reached most often first.
/// Rejections are not counted: the caller may try again, and [`Limiter::count_rejection`] counts an abandoned attempt.
///
/// # Errors
/// [`NoPlace`] names the first limit without a free place.
///
/// # Panics
/// If there are no limits.
pub fn admit(limits: &[&NamedLimit]) -> Result<Admission, NoPlace> {
    if let [limit] = limits
        && limit.used().is_none()
    {
        return match limit.limiter().attempt() {
            Ok(permit) => Ok(permit.into()),
            Err(full) => Err(NoPlace { name: limit.name().clone(), limit: full.limit }),
        };
    }
    assert!(!limits.is_empty(), "a connection is admitted by at least one limit");
    let places = limits.iter().map(|limit| match limit.limiter().take() {
        Ok(permit) => Ok(Place { permit, used: limit.used().cloned() }),
        Err(full) => Err(NoPlace { name: limit.name().clone(), limit: full.limit }),
    });
    // A failure drops the places already taken.
    let places = places.collect::<Result<Box<[_]>, _>>()?;
    for place in &places {
        place.permit.count();
    }
    let joint = Limiter::with_places(NonZeroU32::MIN, NonZeroU32::MIN, places);
    Ok(joint.take().expect("the only place of a new limit is free").into())
}

impl From<Permit> for Admission {
    fn from(permit: Permit) -> Self {
        Self { permit }
    }
}

impl Admission {
    /// The number of limits under which it has a place.
    pub fn places(&self) -> usize {
        self.permit.shared.places.len().max(1)
    }
}
