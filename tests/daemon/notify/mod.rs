//! What the server says to systemd, heard by a test in systemd's place.
//!
//! No root and no systemd: the test binds the notification socket, hands over descriptors as
//! sd_listen_fds(3) has it, and stops single threads of the server to see whether the watchdog
//! notices. The same under a booted systemd is in `tests/systemd/`.

mod asking;
mod colours;
mod drain;
mod early;
mod environment;
mod handed_over;
mod health;
mod reload;
mod signals;
mod starting;
mod status;
mod threads;
mod unread_log;
mod unread_socket;
