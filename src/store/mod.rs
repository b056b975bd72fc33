//! Spaces and keys on the embedded engine; group commit.
