//! One thread, one epoll, one answer a line: the fastest possible server, with or without a synced journal.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use memchr::memchr_iter;

use crate::poll::Poll;

/// As long as a redis reply to a small value, newline included.
pub(crate) const REPLY: &[u8] = b"{\"status\":\"OK\"}\n";

/// The journal is written in full first and then overwritten again and again, so that no sync has to wait for the file
/// system to allocate blocks.
const JOURNAL: usize = 64 << 20;

const LISTENER: usize = usize::MAX;

struct Journal {
    file: File,
    position: usize,
    lines: Vec<u8>,
    /// The clients to answer, once for each line.
    clients: Vec<usize>,
}

/// Answers every line. With a journal, the received lines are written and synced before they are answered.
pub(crate) fn run(listener: &TcpListener, journal: Option<&Path>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut journal = journal.map(Journal::create).transpose()?;
    let mut poll = Poll::new()?;
    poll.add(listener, LISTENER)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut ready = Vec::new();
    loop {
        ready.clear();
        ready.extend(poll.wait(Duration::from_secs(1))?);
        for &index in &ready {
            if index == LISTENER {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    socket.set_nodelay(true)?;
                    let free = clients.iter().position(Option::is_none).unwrap_or(clients.len());
                    poll.add(&socket, free)?;
                    clients.resize_with(clients.len().max(free + 1), || None);
                    clients[free] = Some(socket);
                }
            } else if !serve(&mut clients, index, &mut buffer, journal.as_mut()) {
                clients[index] = None;
            }
        }
        if let Some(journal) = &mut journal {
            journal.sync(&clients)?;
        }
    }
}

/// Whether the client is still there.
fn serve(
    clients: &mut [Option<TcpStream>],
    index: usize,
    buffer: &mut [u8],
    mut journal: Option<&mut Journal>,
) -> bool {
    let Some(socket) = &mut clients[index] else { return true };
    loop {
        match socket.read(buffer) {
            Ok(0) => return false,
            Ok(received) => {
                let lines = memchr_iter(b'\n', &buffer[..received]).count();
                if let Some(journal) = journal.as_deref_mut() {
                    journal.lines.extend_from_slice(&buffer[..received]);
                    journal.clients.extend(std::iter::repeat_n(index, lines));
                } else if (0..lines).any(|_| socket.write_all(REPLY).is_err()) {
                    return false;
                }
                if received < buffer.len() {
                    return true;
                }
            }
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

impl Journal {
    fn create(path: &Path) -> Result<Self> {
        let mut file = File::create(path)?;
        for _ in 0..JOURNAL >> 20 {
            file.write_all(&[0; 1 << 20])?;
        }
        file.sync_all()?;
        Ok(Self { file, position: 0, lines: Vec::new(), clients: Vec::new() })
    }

    fn sync(&mut self, clients: &[Option<TcpStream>]) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if self.position + self.lines.len() > JOURNAL {
            self.position = 0;
        }
        self.file.write_all_at(&self.lines, self.position as u64)?;
        self.file.sync_data()?;
        self.position += self.lines.len();
        for &index in &self.clients {
            if let Some(mut socket) = clients[index].as_ref() {
                // The next event reports a client that is gone.
                socket.write_all(REPLY).ok();
            }
        }
        self.lines.clear();
        self.clients.clear();
        Ok(())
    }
}
