//! Invalid input is refused with an exact message and the right status, and has no effect.

mod check;
mod command_line;
mod completion;
mod http;
mod hung;
mod modes;
mod nobody;
mod owners;
mod places;
mod ports;
mod sandbox;
mod settings;
mod untidy;
