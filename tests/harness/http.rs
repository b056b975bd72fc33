//! A minimal HTTP client: it sends the test's bytes unchanged, and returns the answer unchanged.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::Value;

use super::MAX_WAIT;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    /// The bytes of the body, as text.
    pub(crate) body: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a header, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The message of a refusal, whose body contains nothing else.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json["status"], "failed", "{}", self.body);
        assert_eq!(json.as_object().unwrap().len(), 2, "{}", self.body);
        json["error"].as_str().unwrap().to_owned()
    }
}

/// A request on a new connection. A body is sent as JSON.
#[track_caller]
pub(crate) fn request(port: u16, method: &str, path: &str, body: Option<&str>) -> Reply {
    request_with_token(port, method, path, None, body)
}

/// The same, with the token that the API expects.
#[track_caller]
pub(crate) fn request_with_token(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    if let Some(token) = token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    send(port, request.as_bytes())
}

/// Sends these bytes, which must request closing the connection, and returns the answer.
#[track_caller]
pub(crate) fn send(port: u16, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer, but {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}
