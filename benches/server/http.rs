//! A client of the management API that costs almost nothing: one connection, kept alive.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

use crate::socket;

/// A connection to the management API.
pub(crate) struct Http {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Http {
    pub(crate) fn open(server: SocketAddr) -> Result<Self> {
        Ok(Self { socket: socket::open(server)?, received: Vec::with_capacity(4096) })
    }

    /// The body of the answer, whose status must be a success.
    pub(crate) fn get(&mut self, path: &str) -> Result<&str> {
        let (status, body) = self.request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        ensure!(status == 200, "GET {path}: {status} {body}");
        Ok(body)
    }

    /// The body, or `None` if the server does not know the path.
    pub(crate) fn find(&mut self, path: &str) -> Result<Option<&str>> {
        let (status, body) = self.request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        Ok((status == 200).then_some(body))
    }

    /// Changes the limit.
    pub(crate) fn set_limit(&mut self, limit: usize) -> Result<()> {
        let body = format!("{{\"limit\":{limit}}}");
        let length = body.len();
        let (status, answer) = self.request(&format!(
            "PUT /limit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))?;
        ensure!(status == 200, "PUT /limit: {status} {answer}");
        Ok(())
    }

    fn request(&mut self, request: &str) -> Result<(u16, &str)> {
        self.socket.write_all(request.as_bytes())?;
        self.received.clear();
        let head = loop {
            if let Some(end) = memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            self.receive()?;
        };
        let (status, length) = read_head(&self.received[..head])?;
        while self.received.len() < head + length {
            self.receive()?;
        }
        Ok((status, std::str::from_utf8(&self.received[head..head + length])?))
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer)? {
            0 => bail!("the management API closed the connection"),
            received => self.received.extend_from_slice(&buffer[..received]),
        }
        Ok(())
    }
}

fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let status = head.split_whitespace().nth(1).context("an answer without a status")?.parse()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a length")?;
    Ok((status, length.1.trim().parse()?))
}
