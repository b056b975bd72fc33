//! The config file as a door: a running server follows edits, however they are made, refuses what it cannot
//! apply with a reason, and never applies a half-written file.

mod broken;
mod conflict;
mod half_written;
mod hanging;
mod killed;
mod matrix;
mod misplaced;
mod refused;
mod reports;
mod settings;
mod witness;
