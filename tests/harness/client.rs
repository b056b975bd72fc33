//! One connection of a database client, line by line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::MAX_WAIT;

pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::of(stream)
    }

    /// The client's address, as seen by the server.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().unwrap()
    }

    /// A client on an existing connection.
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// One line without its line feed, or `None` at a clean end of file.
    ///
    /// # Errors
    /// For example, a reset.
    pub(crate) fn try_line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }

    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        self.try_line().unwrap()
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n"));
        let line = self.line().expect("an answer, not the end");
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    pub(crate) fn login(&mut self, username: &str, password: &str) {
        let answer = self.ask(&json!({"username": username, "password": password}));
        assert_eq!(answer["status"], "OK", "{answer}");
    }

    #[track_caller]
    pub(crate) fn expect_ok(&mut self, request: &Value, message: &str) {
        assert_eq!(self.ask(request), json!({"status": "OK", "message": message}), "{request}");
    }

    /// Expects an end of file without preceding data.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
