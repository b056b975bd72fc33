//! One login at a server: sends a request and reads its answer, one after the other.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::cli::progress::Progress;
use crate::protocol::client::{Answer, AnswerError, spaces};
use crate::protocol::{AdminRequest, Login, Request};

/// How long a server may take to accept.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The interval between two progress messages while the server does not answer.
const LOOK: Duration = Duration::from_millis(500);

/// A user at a server, connected or not.
pub(super) struct Client {
    host: String,
    port: u16,
    /// The longest time to wait for data from the server.
    max_wait: Duration,
    login: Login,
    connection: Option<Connection>,
    /// The space in use; chosen again on every new connection.
    space: Option<String>,
}

/// Why a request was not successful.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The connection failed.
    #[error("cannot connect to {host}:{port}: {}", reason(.source))]
    Unreachable { host: String, port: u16, source: io::Error },
    /// The server refused the request.
    #[error("{0}")]
    Refused(String),
    /// The connection was lost before the answer came.
    #[error("the connection to the server was lost before it answered: {}", reason(.0))]
    Lost(#[source] io::Error),
    /// The server accepted the connection, and does not answer.
    #[error("no answer from {host}:{port} within {max_wait:?}; use --timeout to wait longer")]
    Silent { host: String, port: u16, max_wait: Duration },
    /// The peer speaks HTTP: a web server, or our own management API.
    #[error("the server on {host}:{port} speaks HTTP and is not a database server")]
    Http { host: String, port: u16 },
    /// The peer speaks another protocol.
    #[error("the server on {host}:{port} is not shibudb")]
    Stranger { host: String, port: u16 },
    /// The server sent an unexpected answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
    port: u16,
    max_wait: Duration,
}

impl Client {
    /// Connects, so that an absent server is noticed before the user is asked for a password.
    pub(super) fn connect(
        host: String,
        port: u16,
        username: String,
        max_wait: Duration,
    ) -> Result<Self, ClientError> {
        let connection = Connection::open(&host, port, max_wait)?;
        let login = Login { username, password: String::new() };
        Ok(Self { host, port, max_wait, login, connection: Some(connection), space: None })
    }

    /// Logs in.
    pub(super) fn log_in(&mut self, password: String) -> Result<(), ClientError> {
        self.login.password = password;
        // The server does not wait for a slow typist: in that case, connect again.
        let connection = self.connection.take().filter(Connection::is_open);
        self.enter(connection)
    }

    /// The name of the user.
    pub(super) fn username(&self) -> &str {
        &self.login.username
    }

    /// The space in use.
    pub(super) fn space(&self) -> Option<&str> {
        self.space.as_deref()
    }

    /// Whether the server still holds the connection, as far as is known without a request.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_open)
    }

    /// Connects and logs in again, and selects the space in use.
    pub(super) fn reconnect(&mut self) -> Result<(), ClientError> {
        self.enter(None)?;
        let Some(space) = self.space.take() else { return Ok(()) };
        self.ask(&Request::UseSpace { space: space.as_str().into() }).map(drop)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(&mut self, request: &Request<'_>) -> Result<Answer, ClientError> {
        let gone = || ClientError::Lost(io::ErrorKind::NotConnected.into());
        let mut connection = self.connection.take().ok_or_else(gone)?;
        // Kept only after a whole answer: after a partial one, all later answers would be out of step.
        let answer = connection.ask(&request.render())?;
        self.connection = Some(connection);
        if let Answer::Refused(message) = answer {
            return Err(ClientError::Refused(message));
        }
        self.note(request);
        Ok(answer)
    }

    /// The spaces that this user may read.
    pub(super) fn spaces(&mut self) -> Result<Vec<String>, ClientError> {
        match self.ask(&Request::ListSpaces)? {
            Answer::Done(message) => Ok(spaces(&message)?),
            Answer::Value(_) | Answer::Refused(_) => Ok(Vec::new()),
        }
    }

    fn enter(&mut self, connection: Option<Connection>) -> Result<(), ClientError> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Connection::open(&self.host, self.port, self.max_wait)?,
        };
        match connection.ask(&self.login.render())? {
            Answer::Refused(message) => Err(ClientError::Refused(message)),
            Answer::Done(_) | Answer::Value(_) => {
                self.connection = Some(connection);
                Ok(())
            }
        }
    }

    /// Remembers what the next connection needs of a successful request.
    fn note(&mut self, request: &Request<'_>) {
        match request {
            Request::UseSpace { space } => self.space = Some(space.to_string()),
            Request::Admin(request) => match &**request {
                AdminRequest::UpdatePassword { username, password } if *username == self.login.username => {
                    self.login.password.clone_from(password);
                }
                AdminRequest::DeleteSpace { space } if self.space.as_ref() == Some(space) => {
                    self.space = None
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Connection {
    fn open(host: &str, port: u16, max_wait: Duration) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { host: host.to_owned(), port, source };
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in (host, port).to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME.min(max_wait)) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(unreachable)?;
                    stream.set_read_timeout(Some(LOOK.min(max_wait))).map_err(unreachable)?;
                    return Ok(Self {
                        stream: BufReader::new(stream),
                        host: host.to_owned(),
                        port,
                        max_wait,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(unreachable(failure))
    }

    /// Writes one line and reads one. A server that is full or shutting down may send its answer
    /// before the request and stop reading: so read the answer even after a failed write.
    fn ask(&mut self, line: &[u8]) -> Result<Answer, ClientError> {
        let written = self.stream.get_mut().write_all(line);
        let mut answer = Vec::new();
        let read = self.read_line(&mut answer)?;
        let (host, port) = (self.host.clone(), self.port);
        if answer.starts_with(b"HTTP/") {
            return Err(ClientError::Http { host, port });
        }
        if answer.ends_with(b"\n") {
            return Answer::parse(&answer).map_err(|_| ClientError::Stranger { host, port });
        }
        written.and(read).map_err(ClientError::Lost)?;
        Err(ClientError::Lost(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Reads up to the end of a line or of the stream, for as long as data arrives. During a long wait, prints what it
    /// waits for.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<io::Result<()>, ClientError> {
        let Self { stream, host, port, max_wait } = self;
        let mut progress = None;
        let (mut silent_since, mut known) = (Instant::now(), 0);
        loop {
            match stream.read_until(b'\n', line) {
                Ok(_) => return Ok(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Ok(Err(error)),
            }
            if line.len() > known {
                (silent_since, known) = (Instant::now(), line.len());
            }
            if silent_since.elapsed() >= *max_wait {
                return Err(ClientError::Silent { host: host.clone(), port: *port, max_wait: *max_wait });
            }
            // On a terminal only: in a script, standard error is for errors.
            if io::stderr().is_terminal() {
                let words = format!("waiting for {host}:{port} to answer");
                let progress = progress.get_or_insert_with(|| Progress::new(None, "{spinner} {msg}"));
                progress.tell(&words, |_| words.clone());
            }
        }
    }

    /// Whether the other side has not closed it. Unrequested data counts as open: it is
    /// read as the next answer, and contains the server's reason for closing.
    fn is_open(&self) -> bool {
        let stream = self.stream.get_ref();
        let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        let restored = stream.set_nonblocking(false);
        let open = match peeked {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        open && restored.is_ok()
    }
}

/// The essential words of a system error.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => "the server closed it".into(),
        io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::NotFound => "no such host".into(),
        _ => error.to_string(),
    }
}
