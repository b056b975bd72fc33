//! What is wrong is refused, in exact words and with the right status, and nothing comes of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod command_line;
mod http;
mod modes;
mod owners;
mod places;
mod ports;
mod untidy;
