//! The built server under load, and while it or something that it needs fails or stands still.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod at_the_limit;
mod chaos;
mod churn;
mod crash;
mod floods;
mod memory;
mod stall;
mod stampede;
mod starvation;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test that takes the whole machine runs. Two of them beside each other would not fail for what
/// they do, but for the deadlines of their clients.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
