//! The destination of the writer's lines.

use std::io::{self, Write as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::file::LogFile;
use super::journal::Journald;
use super::queue::Entry;

/// Takes lines. A write waits until they are taken.
pub(super) enum Sink {
    StandardError,
    /// The log file that standard error goes to, which is kept short.
    File(LogFile),
    Journal(Box<Journald>),
}

impl Sink {
    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match (self, entry) {
            (Self::StandardError, Entry::Line(line)) => write_to_stderr(line),
            (Self::File(file), Entry::Line(line)) => file.write_all(line),
            (Self::Journal(journal), Entry::Event(event)) => {
                journal.send(event);
                Ok(())
            }
            // The layers queue only entries that the sink takes.
            (Self::StandardError | Self::File(_), Entry::Event(_)) | (Self::Journal(_), Entry::Line(_)) => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }
}

/// Writes all of it. Another process that has the stream open may have made it non-blocking; this
/// waits for it and leaves the mode alone.
pub(super) fn write_to_stderr(line: &[u8]) -> io::Result<()> {
    write_all(io::stderr(), line)
}

fn write_all(stream: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&stream, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stream_that_does_not_block_gets_every_byte_all_the_same() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let text = vec![b'x'; 4 << 20];
        let length = text.len();
        let writer = std::thread::spawn(move || write_all(ours, &text).unwrap());
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        writer.join().unwrap();
        assert_eq!(read.len(), length);
    }
}
