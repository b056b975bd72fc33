//! The only way to change the limit: takes requests from all doors and applies them in order.
