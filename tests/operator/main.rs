//! The operator's interfaces: the command line, the README, the manual pages, the founding document, the
//! live page.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod bad_input;
mod colours;
mod connect;
mod founding_document;
mod generated_files;
mod import;
mod page;
mod readme;
mod watch;
