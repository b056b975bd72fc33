//! The built server under load, and during failures and stalls of the server or its environment.
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

/// Waits until no other test that needs the whole machine runs. Two of them in parallel would exceed their clients'
/// deadlines.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
