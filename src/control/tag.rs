//! The name of one state of the limit: what an `ETag` carries.

use std::fmt;

/// Names a state of the limit, and is never reused for another one.
///
/// A revision alone could be: after a power failure before a change was on disk, or after a
/// data directory was restored from a copy, another change gets its number. So a tag has a
/// random number of the process beside the revision. This costs nothing: each start makes a
/// revision of its own, so that no tag of an earlier process can be up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The random number of the process that issued it; 0 in a tag that is a bare revision, which no process
    /// issues.
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
}

impl Tag {
    /// Reads a tag, exactly as issued. A bare revision is one, too, that of no process.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, revision) = match text.split_once('-') {
            Some((epoch, revision)) => (u64::from_str_radix(epoch, 16).ok()?, revision.parse().ok()?),
            None => (0, text.parse().ok()?),
        };
        let tag = Self { epoch, revision };
        // The comparison is by characters: "07" and "+7" were never issued.
        (tag.to_string() == text).then_some(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.revision),
            epoch => write!(f, "{epoch:016x}-{}", self.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for (epoch, revision) in [(0, 7), (1, 0), (u64::MAX, u64::MAX), (0x1234, 12)] {
            let tag = Tag { epoch, revision };
            assert_eq!(Tag::parse(&tag.to_string()), Some(tag));
        }
        for text in [
            "",
            "x",
            "-7",
            "+7",
            "07",
            "99999999999999999999",
            "7-7",
            "0000000000000000-7",
            "000000000000000A-7",
            "000000000000000a-07",
            "000000000000000a-",
            "000000000000000a-7-7",
        ] {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
    }
}
