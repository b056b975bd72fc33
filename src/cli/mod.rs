//! What a person types: arguments, start and stop, manager, check, connect.
