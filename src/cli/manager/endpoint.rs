//! Where the management API is asked: a port of a machine, or a Unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::ManagerError;

/// How far the management port is above the main port, unless configured otherwise.
pub(super) const PORT_OFFSET: u16 = 1000;

/// The machine, unless another is named.
pub(super) const LOCAL: &str = "127.0.0.1";

/// The address of the management API.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    /// The host is an address, or a name that the name service knows.
    Network {
        host: String,
        port: u16,
    },
    Socket(PathBuf),
}

impl Endpoint {
    /// A Unix socket; an error if the path is another kind of file. A missing socket fails later, at the connection.
    pub(super) fn socket(path: PathBuf) -> Result<Self, ManagerError> {
        let found = match std::fs::metadata(&path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_dir() => "a directory",
            Ok(kind) if kind.is_file() => "a file",
            Ok(kind) if !kind.is_socket() => "something else",
            Ok(_) | Err(_) => return Ok(Self::Socket(path)),
        };
        Err(ManagerError::NotASocket { path, found })
    }

    /// The URL of a path of the API, and the `Host` to send if it differs from the one in the URL.
    ///
    /// A server accepts few names as `Host`, and any address.
    pub(super) fn url(&self, path: &str) -> (String, Option<&'static str>) {
        match self {
            Self::Network { host, port } => match host.parse::<IpAddr>() {
                Ok(address) => (format!("http://{}{path}", SocketAddr::new(address, *port)), None),
                Err(_) => (format!("http://{host}:{port}{path}"), Some("localhost")),
            },
            Self::Socket(_) => (format!("http://localhost{path}"), None),
        }
    }

    /// Whether the host is this machine, judged by its name alone.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Network { host, .. } => {
                host.parse().map_or(host == "localhost", |address: IpAddr| address.is_loopback())
            }
            Self::Socket(_) => true,
        }
    }
}

/// Includes the address, so that the reader sees which server was asked.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { host, port } => match host.parse::<IpAddr>() {
                Ok(address) => write!(f, "{}", SocketAddr::new(address, *port)),
                Err(_) => write!(f, "{host}:{port}"),
            },
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A name or an address. An IPv6 address may be in brackets.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    if unbracketed.parse::<IpAddr>().is_ok() {
        Ok(unbracketed.to_owned())
    } else if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected a name or an address without a port, such as localhost or 192.0.2.7".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (text, host) in
            [("localhost", "localhost"), ("::1", "::1"), ("[::1]", "::1"), ("db-1.example.", "db-1.example.")]
        {
            assert_eq!(super::host(text).as_deref(), Ok(host));
        }
        for text in ["", "localhost:10090", "http://localhost", "a b", "127.0.0.1/8"] {
            assert!(super::host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_is_called_by_a_name_that_it_knows() {
        let url = |host: &str| Endpoint::Network { host: host.into(), port: 1 }.url("/x");
        assert_eq!(url("::1"), ("http://[::1]:1/x".into(), None));
        assert_eq!(url("alias.example"), ("http://alias.example:1/x".into(), Some("localhost")));
    }
}
