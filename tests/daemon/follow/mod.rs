//! The config file as a door: a running server follows its edits, however they are made, refuses
//! what it cannot do and says why, and never acts on what is half-written.

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
