//! Code of the library whose threads share memory, run through every interleaving by loom.
//!
//! The library's modules take atomics and locks from `sync` beside them; here they find loom's. Nothing of them is
//! written twice.

mod kept_values;
mod permits;

#[path = "../../../src/limiter/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the models use a part of the limiter's surface"
)]
mod limiter;
#[path = "../../../src/store/stripes.rs"]
#[allow(dead_code, reason = "the models use a part of it")]
mod stripes;

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}
