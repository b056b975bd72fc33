//! Users, roles, permissions, password verification.
