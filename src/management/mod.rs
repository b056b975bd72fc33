//! The HTTP API: router, thin handlers, wire types shared with the command line.
