//! Unix signals become requests.
