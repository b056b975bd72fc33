//! The core: counts open connections against a limit, and does nothing else.
//!
//! Limit and active share one 64-bit word, so that every check-and-change is one compare-and-swap
//! and every snapshot one load: `active <= limit` holds at each instant, under any interleaving,
//! and there is no semaphore to resize and no permit to transfer when the limit moves.
//!
//! Several limits may apply to one connection: the server's, its user's, its address's. Each is a
//! [`Limiter`] of its own; an [`Admission`] takes a place under all of them or under none. [`NamedLimits`] holds
//! the limits that exist only while connections use them.
//!
//! This module knows no HTTP, TOML, socket, clock or log. A limiter never blocks. [`crate::control`]
//! decides who may change a limit and what is recorded.
//!
//! Its atomics come from the parent's `sync` module: std's in the library, loom's in the models, which run this very
//! code through every interleaving.

mod admission;
mod named;
mod refusal;

use std::num::NonZeroU32;

use super::sync::{Arc, AtomicU32, AtomicU64, Ordering};

pub use admission::{Admission, NoPlace, admit};
pub use named::{Name, NamedLimit, NamedLimits};
pub use refusal::{Full, Refusal, check};

/// Admits connections up to a limit that can be moved at any time.
///
/// A cheap handle: clones share the same limit and the same count.
#[derive(Debug, Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// The right of one connection to be open. Dropping it frees the place.
///
/// It cannot be cloned: one permit, one place.
#[derive(Debug)]
#[must_use = "dropping a permit frees its place at once"]
pub struct Permit {
    shared: Arc<Shared>,
}

/// Limit and active as they were at one instant. Always `active <= limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// How many connections may be open at once.
    pub limit: u32,
    /// How many connections hold a permit.
    pub active: u32,
}

/// Counts since the limiter was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Permits handed out.
    pub accepted: u64,
    /// Attempts turned away because the limit was reached.
    pub rejected: u64,
    /// The most permits that were held at once.
    pub peak: u32,
}

/// A change of the limit that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The limit before.
    pub old: u32,
    /// The limit since.
    pub new: u32,
    /// Permits held at the instant of the change.
    pub active: u32,
}

#[derive(Debug)]
struct Shared {
    /// Limit in the upper half, active in the lower.
    word: AtomicU64,
    ceiling: u32,
    accepted: AtomicU64,
    rejected: AtomicU64,
    peak: AtomicU32,
    /// Places under other limits, freed when the last permit of this limiter is gone.
    places: Box<[admission::Place]>,
}

impl Limiter {
    /// Creates a limiter with nothing active.
    ///
    /// `ceiling` is the highest limit that can ever be set, `limit` the one to begin with.
    ///
    /// # Errors
    /// [`Refusal::AboveCeiling`] if `limit` exceeds `ceiling`.
    pub fn new(limit: NonZeroU32, ceiling: NonZeroU32) -> Result<Self, Refusal> {
        if limit > ceiling {
            return Err(Refusal::AboveCeiling { wanted: limit.get().into(), ceiling: ceiling.get() });
        }
        Ok(Self::with_places(limit, ceiling, [].into()))
    }

    fn with_places(limit: NonZeroU32, ceiling: NonZeroU32, places: Box<[admission::Place]>) -> Self {
        let word = Snapshot { limit: limit.get(), active: 0 }.pack();
        Self {
            shared: Arc::new(Shared {
                word: AtomicU64::new(word),
                ceiling: ceiling.get(),
                accepted: AtomicU64::new(0),
                rejected: AtomicU64::new(0),
                peak: AtomicU32::new(0),
                places,
            }),
        }
    }

    /// Takes a place, or counts a rejection if none is free. Never waits.
    ///
    /// # Errors
    /// [`Full`] if as many permits are held as the limit allows.
    pub fn try_acquire(&self) -> Result<Permit, Full> {
        self.attempt().inspect_err(|_| self.count_rejection())
    }

    /// Counts an [attempt](Self::attempt) that the caller gives up.
    pub fn count_rejection(&self) {
        self.shared.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a place if one is free. Otherwise counts nothing: the caller may try again.
    ///
    /// # Errors
    /// As [`Limiter::try_acquire`].
    pub fn attempt(&self) -> Result<Permit, Full> {
        let permit = self.take()?;
        permit.count();
        Ok(permit)
    }

    /// Takes a place that may be returned unused: it is not counted as accepted.
    fn take(&self) -> Result<Permit, Full> {
        let shared = &*self.shared;
        let mut seen = shared.word.load(Ordering::Acquire);
        loop {
            let Snapshot { limit, active } = Snapshot::unpack(seen);
            if active >= limit {
                return Err(Full { limit });
            }
            // `active` is the lower half and below `limit`, so the sum cannot carry into the limit.
            match shared.word.compare_exchange_weak(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // The peak is rarely a new one, and a load is cheaper than a write.
                    if active + 1 > shared.peak.load(Ordering::Relaxed) {
                        shared.peak.fetch_max(active + 1, Ordering::Relaxed);
                    }
                    return Ok(Permit { shared: Arc::clone(&self.shared) });
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Sets the limit to `limit`.
    ///
    /// # Errors
    /// A [`Refusal`] if it is zero, below the active connections, or above the ceiling.
    pub fn set(&self, limit: u64) -> Result<Applied, Refusal> {
        self.change(|_| Some(limit))
    }

    /// Raises the limit by `amount`.
    ///
    /// # Errors
    /// As [`Limiter::set`]. A limit beyond the ceiling is refused whole, never clamped.
    pub fn increase(&self, amount: u64) -> Result<Applied, Refusal> {
        self.change(|limit| Some(u64::from(limit).saturating_add(amount)))
    }

    /// Lowers the limit by `amount`.
    ///
    /// # Errors
    /// As [`Limiter::set`].
    pub fn decrease(&self, amount: u64) -> Result<Applied, Refusal> {
        self.change(|limit| u64::from(limit).checked_sub(amount))
    }

    /// Limit and active at this instant.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::unpack(self.shared.word.load(Ordering::Acquire))
    }

    /// The totals so far. Each count is exact; together they are not one instant's.
    pub fn totals(&self) -> Totals {
        Totals {
            accepted: self.shared.accepted.load(Ordering::Relaxed),
            rejected: self.shared.rejected.load(Ordering::Relaxed),
            peak: self.shared.peak.load(Ordering::Relaxed),
        }
    }

    /// The highest limit that can be set.
    pub fn ceiling(&self) -> u32 {
        self.shared.ceiling
    }

    /// Sets the limit to `limit` if limit and active are still as `seen`: for a decision that rests on them.
    ///
    /// # Errors
    /// The current limit and active, if they differ.
    ///
    /// # Panics
    /// If `limit` is below `seen.active` or above the ceiling: call [`check`] first.
    pub fn exchange(&self, seen: Snapshot, limit: NonZeroU32) -> Result<Applied, Snapshot> {
        let (new, Snapshot { limit: old, active }) = (limit.get(), seen);
        assert!((active..=self.shared.ceiling).contains(&new), "a limit of {new} was not checked");
        let word = Snapshot { limit: new, active }.pack();
        match self.shared.word.compare_exchange(seen.pack(), word, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Applied { old, new, active }),
            Err(now) => Err(Snapshot::unpack(now)),
        }
    }

    /// Replaces the limit by what `wanted` makes of it; `None` stands for a number below zero.
    fn change(&self, wanted: impl Fn(u32) -> Option<u64>) -> Result<Applied, Refusal> {
        let mut seen = self.snapshot();
        loop {
            let limit = check(wanted(seen.limit).unwrap_or(0), seen.active, self.shared.ceiling)?;
            match self.exchange(seen, limit) {
                Ok(applied) => return Ok(applied),
                Err(now) => seen = now,
            }
        }
    }
}

impl Permit {
    fn count(&self) {
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Every permit added one to the lower half, so the subtraction cannot borrow from the limit.
        self.shared.word.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Snapshot {
    /// Places that are free.
    pub fn available(self) -> u32 {
        self.limit - self.active
    }

    /// Share of the limit in use, in percent (0 to 100).
    pub fn usage_percentage(self) -> f64 {
        f64::from(self.active) * 100.0 / f64::from(self.limit)
    }

    fn pack(self) -> u64 {
        u64::from(self.limit) << 32 | u64::from(self.active)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half of the word is one 32-bit number")]
    fn unpack(word: u64) -> Self {
        Self { limit: (word >> 32) as u32, active: word as u32 }
    }
}
