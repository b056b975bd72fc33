//! What is wrong is refused, in exact words and with the right status, and nothing comes of it.

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
