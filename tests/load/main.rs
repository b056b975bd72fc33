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
