//! Files and streams of others, read without blocking on the other end, and never more than useful.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file that `check` accepts, without ever blocking on the other end of a pipe.
///
/// # Errors
/// The error of `check`, or `unreadable` of the system's error.
pub(crate) fn open<E>(
    path: &Path,
    check: impl Fn(&Metadata) -> Result<(), E>,
    unreadable: impl Fn(io::Error) -> E,
) -> Result<File, E> {
    // Before opening, since opening may affect a device; and after it, since the path may lead to another file by then.
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

/// Reads up to `most` bytes; of a longer input, one byte more.
///
/// # Errors
/// The system's error.
pub(crate) fn up_to(input: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    input.take(most + 1).read_to_end(&mut content)?;
    Ok(content)
}
