//! Notices edits of the config file.
