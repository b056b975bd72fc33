//! `GET /metrics` as Prometheus sees it: what the numbers say, in both formats.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod numbers;
mod scrape;
mod way_in;
