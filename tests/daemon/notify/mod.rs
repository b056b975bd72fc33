//! The server's messages to systemd, received by a test in systemd's place.
//!
//! Needs neither root nor systemd: the test binds the notification socket, passes descriptors as in
//! sd_listen_fds(3), and stops single threads of the server to test the watchdog. `tests/systemd/` has the
//! same under a booted systemd.

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
