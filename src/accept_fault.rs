//! What an error of accept(2) is about.

use rustix::io::Errno;

/// What went wrong when a connection was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptFault {
    /// The client was gone before it was accepted; the next one is no worse off.
    Connection,
    /// Out of descriptors or memory; somebody will give some back.
    Shortage,
    /// The listener can accept nothing any more.
    Listener,
}

impl AcceptFault {
    /// Sorts an error.
    pub(crate) fn of(error: Errno) -> Self {
        match error {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Self::Shortage,
            // Linux passes on errors of the network that are already pending on the new socket.
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::TIMEDOUT => Self::Connection,
            _ => Self::Listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted() {
        for (error, fault) in [
            (Errno::CONNABORTED, AcceptFault::Connection),
            (Errno::MFILE, AcceptFault::Shortage),
            (Errno::BADF, AcceptFault::Listener),
            (Errno::INVAL, AcceptFault::Listener),
        ] {
            assert_eq!(AcceptFault::of(error), fault, "{error}");
        }
    }
}
