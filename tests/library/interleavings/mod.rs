//! Code of the library whose threads share atomics, run through every interleaving by loom.

mod limiter;
