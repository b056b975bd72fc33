//! Held connections, and single requests.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

use crate::contender::LOGIN;
use crate::language::Greeting;
use crate::socket;

/// Connections that are opened before the first of them must be served.
const WAVE: usize = 128;

/// Opens connections, sends the greeting on each, and waits for the answer.
pub(crate) fn hold(server: SocketAddr, connections: usize, greeting: Greeting) -> Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(connections);
    while held.len() < connections {
        let begin = held.len();
        for _ in 0..WAVE.min(connections - begin) {
            held.push(socket::open(server).with_context(|| format!("connection {}", held.len() + 1))?);
        }
        if greeting.send.is_empty() {
            continue;
        }
        for mut socket in &held[begin..] {
            socket.write_all(greeting.send)?;
        }
        for socket in &held[begin..] {
            let answer = line(&mut BufReader::with_capacity(512, socket))?;
            let expected = memmem::find(answer.as_bytes(), greeting.expect).is_some();
            ensure!(expected, "connection {} was greeted with {answer}", held.len());
        }
    }
    Ok(held)
}

/// # Errors
/// The server has sent something on one of the connections, or closed it.
pub(crate) fn still_held(held: &[TcpStream]) -> Result<()> {
    for socket in held {
        socket.set_nonblocking(true)?;
        match socket.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) => bail!("the server has closed a connection that was held"),
            Ok(_) => bail!("the server has said something on a connection that was held"),
            Err(error) => return Err(error).context("a connection that was held"),
        }
    }
    Ok(())
}

/// Connects, sends a line, and waits for any answer.
pub(crate) fn first_answer(server: SocketAddr, line: &[u8]) -> Result<()> {
    let mut socket = socket::open(server)?;
    socket.write_all(line)?;
    ensure!(socket.read(&mut [0; 512])? > 0, "the server closed the connection without an answer");
    Ok(())
}

/// Logs in, sends one request, and returns the answer.
pub(crate) fn ask(server: SocketAddr, request: &str) -> Result<String> {
    let mut conversation = Conversation::open(server)?;
    conversation.ask(request)
}

/// A connection for one request after another.
pub(crate) struct Conversation {
    socket: BufReader<TcpStream>,
}

impl Conversation {
    /// Connects and logs in.
    pub(crate) fn open(server: SocketAddr) -> Result<Self> {
        let mut conversation = Self::with_stranger(server)?;
        let answer = conversation.ask(LOGIN)?;
        ensure!(answer.contains("\"OK\""), "the login was answered with {answer}");
        Ok(conversation)
    }

    /// Connects to a server without a login.
    pub(crate) fn with_stranger(server: SocketAddr) -> Result<Self> {
        Ok(Self { socket: BufReader::new(socket::open(server)?) })
    }

    /// Sends a line, and returns the answer without its end.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Result<String> {
        self.socket.get_mut().write_all(request.as_ref())?;
        line(&mut self.socket)
    }
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the server closed the connection after {line:?}");
    line.truncate(line.trim_end().len());
    Ok(line)
}
