//! Builds everything, binds, tells systemd, owns the tasks, reloads, drains.
