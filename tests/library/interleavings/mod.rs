//! Code of the library whose threads share memory, run through every interleaving by loom.
//!
//! The library's modules take atomics and locks from `sync` beside them; here that is loom's. No code is
//! duplicated.

mod kept_values;
mod memory;
mod permits;
mod readiness;
mod waking;

#[path = "../../../src/net/budget.rs"]
#[allow(dead_code, reason = "the models use a part of it")]
mod budget;

#[path = "../../../src/limiter/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the models use a part of the limiter's surface"
)]
mod limiter;
#[path = "../../../src/net/mailbox.rs"]
#[allow(dead_code, reason = "the models use a part of it")]
mod mailbox;
#[path = "../../../src/net/settings.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of it")]
mod settings;
#[path = "../../../src/store/stripes.rs"]
#[allow(dead_code, reason = "the models use a part of it")]
mod stripes;

#[path = "../../../src/unpoisoned.rs"]
mod unpoisoned;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    pub(crate) use super::unpoisoned::Unpoisoned;
}
