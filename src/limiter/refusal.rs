//! Why no place is free, and why a requested limit is refused.

use std::num::NonZeroU32;

/// Why [`Limiter::try_acquire`](super::Limiter::try_acquire) handed out nothing: as many permits as the limit allows are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} connections are in use")]
pub struct Full {
    /// The limit that was reached.
    pub limit: u32,
}

/// Why a change of the limit was refused. A refused change has changed nothing.
///
/// The words are those of the founding document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The limit would have been zero or less.
    #[error("connection limit must be positive")]
    NotPositive,
    /// More permits are held than the new limit would allow.
    #[error("cannot set limit to {wanted} when {active} connections are active")]
    BelowActive {
        /// The limit requested.
        wanted: u64,
        /// Permits held at that instant.
        active: u32,
    },
    /// The process could not hold that many connections.
    #[error("cannot set limit to {wanted}: this process can hold at most {ceiling} connections")]
    AboveCeiling {
        /// The limit requested.
        wanted: u64,
        /// The highest limit possible.
        ceiling: u32,
    },
}

/// Whether `wanted` can be the limit while `active` permits are held.
///
/// # Errors
/// A [`Refusal`] if it is zero, below the active connections, or above the ceiling.
pub fn check(wanted: u64, active: u32, ceiling: u32) -> Result<NonZeroU32, Refusal> {
    if wanted == 0 {
        return Err(Refusal::NotPositive);
    }
    if wanted < u64::from(active) {
        return Err(Refusal::BelowActive { wanted, active });
    }
    u32::try_from(wanted)
        .ok()
        .filter(|&new| new <= ceiling)
        .and_then(NonZeroU32::new)
        .ok_or(Refusal::AboveCeiling { wanted, ceiling })
}
