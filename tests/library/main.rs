//! The modules of the library, called in this process.
//!
//! A test that changes a property of its process, such as a resource limit, runs itself again in a separate process
//! (`harness::is_beneath`).
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
