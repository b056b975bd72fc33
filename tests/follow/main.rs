//! The config file as a door: a running server follows its edits, however they are made, refuses
//! what it cannot do and says why, and never acts on what is half-written.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broken;
mod conflict;
mod half_written;
mod hanging;
#[path = "../harness/mod.rs"]
mod harness;
mod killed;
mod matrix;
mod misplaced;
mod refused;
mod reports;
mod settings;
mod witness;
