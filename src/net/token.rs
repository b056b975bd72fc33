//! Identifies the connection of a message, and the socket of an event.

/// A connection of one worker: its place and its number, since places are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its place in the worker's slab. Has one bit less; in a key that bit distinguishes the sides.
    pub(super) index: u32,
    /// The lower half of the connection's number.
    serial: u32,
}

/// One of the sockets that a connection may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The socket to the client, which every connection has.
    Client,
    /// The socket that a session has opened to another server for its client.
    Backend,
}

/// The first index that is too large. It leaves the highest keys to the worker.
const TOO_LARGE: u32 = (1 << 31) - 1;

/// The bit of a key that marks the backend.
const BACKEND: u64 = 1 << 63;

impl Token {
    /// `None` if the index is too large.
    pub(crate) fn new(index: usize, number: u64) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|index| *index < TOO_LARGE)?;
        let serial = number & u64::from(u32::MAX);
        Some(Self { index, serial: serial.try_into().ok()? })
    }

    /// The key of an event about the socket on this side.
    pub(super) fn key(self, side: Side) -> u64 {
        let key = u64::from(self.index) << 32 | u64::from(self.serial);
        match side {
            Side::Client => key,
            Side::Backend => key | BACKEND,
        }
    }

    /// The connection and the side of an event.
    pub(super) fn from_key(key: u64) -> Option<(Self, Side)> {
        let side = if key & BACKEND == 0 { Side::Client } else { Side::Backend };
        Some((Self::new(usize::try_from((key & !BACKEND) >> 32).ok()?, key)?, side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_for_one_socket_of_one_connection() {
        let token = Token::new(7, 0x1_2345_6789).unwrap();
        for side in [Side::Client, Side::Backend] {
            assert_eq!(Token::from_key(token.key(side)), Some((token, side)));
        }
        assert_ne!(token, Token::new(7, 0x1_2345_678a).unwrap());
    }

    #[test]
    fn the_highest_keys_are_of_no_connection() {
        let largest = Token::new(TOO_LARGE as usize - 1, u64::MAX).unwrap();
        assert!(largest.key(Side::Backend) < super::super::worker::LOWEST_OWN_KEY);
        assert_eq!(Token::new(TOO_LARGE as usize, 1), None);
        assert_eq!(Token::from_key(u64::MAX), None);
    }
}
