//! The conversation with systemd: readiness, status, watchdog, inherited descriptors.
