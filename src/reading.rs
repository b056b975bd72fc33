//! Files and streams of others, read without waiting for whoever is at the other end, and never more than is useful.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file that `check` has nothing against, without ever waiting for whoever is at the other end of a pipe.
///
/// # Errors
/// What `check` says, or `unreadable` of what the system says.
pub(crate) fn open<E>(
    path: &Path,
    check: impl Fn(&Metadata) -> Result<(), E>,
    unreadable: impl Fn(io::Error) -> E,
) -> Result<File, E> {
    // Before opening, since that may do something to a device; and after it, since something else may stand there
    // by then.
    check(&fs::metadata(path).map_err(&unreadable)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(&unreadable)?;
    check(&file.metadata().map_err(&unreadable)?)?;
    Ok(file)
}

/// Reads what is to be no longer than `most` bytes; of what is longer, one byte more.
///
/// # Errors
/// What the system says.
pub(crate) fn up_to(input: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    input.take(most + 1).read_to_end(&mut content)?;
    Ok(content)
}
