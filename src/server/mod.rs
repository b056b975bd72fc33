//! The accept loop, rejection, and one client's session.
