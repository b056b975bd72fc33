//! The built server as a process, as seen by clients, systemd, Prometheus and operators.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod accounts;
mod audit;
mod connections;
mod durability;
mod follow;
mod management_access;
mod metrics;
mod notify;
mod openapi;
mod priorities;
mod python_client;
mod restart;
mod series;
mod venv;
mod who;
