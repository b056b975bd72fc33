//! Bytes to requests and replies to bytes; no input or output.
