//! The parts of the library, each called in this process: what the program is built of.
//!
//! A test that changes something of its process, such as a resource limit, runs itself again in a process of its own
//! (`harness::again_beneath`).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod auth;
mod config;
mod control;
mod corpus;
mod interleavings;
mod limiter;
mod log_sentences;
mod management;
mod protocol;
mod server;
mod store;
