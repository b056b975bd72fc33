//! The same request in the protocols of the measured servers.

use std::io::Write;

use memchr::memmem;

use crate::contender::LOGIN;

/// Bytes of a value.
const VALUE: usize = 100;

/// The space of the benchmark.
const SPACE: &str = "bench";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Shibudb,
    Redis,
    /// A line, and any line as its answer.
    Lines,
}

/// A request about one of the numbered keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Get(u64),
    Put(u64),
}

/// A client's first message and its expected answer, if any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greeting {
    pub(crate) send: &'static [u8],
    pub(crate) expect: &'static [u8],
}

impl Greeting {
    pub(crate) const SILENCE: Self = Self { send: b"", expect: b"" };
}

impl Language {
    pub(crate) fn greeting(self) -> Greeting {
        match self {
            Self::Shibudb => Greeting { send: LOGIN, expect: b"\"OK\"" },
            Self::Redis => Greeting { send: b"PING\r\n", expect: b"+PONG" },
            Self::Lines => Greeting::SILENCE,
        }
    }

    /// The request that creates the space, where there are spaces.
    pub(crate) fn create_space(self) -> Option<String> {
        let request = format!(r#"{{"type":"CREATE_SPACE","space":"{SPACE}","engine_type":"key-value"}}"#);
        (self == Self::Shibudb).then(|| request + "\n")
    }

    /// Replaces `out` by the request.
    pub(crate) fn render(self, request: Request, out: &mut Vec<u8>) {
        out.clear();
        match (self, request) {
            (Self::Shibudb, Request::Get(key)) => {
                writeln!(out, r#"{{"type":"GET","key":"k{key:09}","space":"{SPACE}","user":"admin"}}"#)
            }
            (Self::Shibudb, Request::Put(key)) => writeln!(
                out,
                r#"{{"type":"PUT","key":"k{key:09}","value":"{}","space":"{SPACE}","user":"admin"}}"#,
                value(key)
            ),
            (Self::Redis, Request::Get(key)) => write!(out, "*2\r\n$3\r\nGET\r\n$10\r\nk{key:09}\r\n"),
            (Self::Redis, Request::Put(key)) => {
                write!(out, "*3\r\n$3\r\nSET\r\n$10\r\nk{key:09}\r\n${VALUE}\r\n{}\r\n", value(key))
            }
            (Self::Lines, Request::Get(key)) => writeln!(out, "GET k{key:09}"),
            (Self::Lines, Request::Put(key)) => writeln!(out, "PUT k{key:09} {}", value(key)),
        }
        .expect("memory can always be written to");
    }

    /// Whether the whole answer has arrived.
    pub(crate) fn is_whole(self, answer: &[u8], asked: Request) -> bool {
        match (self, asked) {
            (Self::Redis, Request::Get(_)) if answer.starts_with(b"$1") => answer.len() >= VALUE + 8,
            _ => answer.ends_with(b"\n"),
        }
    }

    /// Whether a whole answer is the expected one: the value of a key follows from its number.
    pub(crate) fn is_right(self, answer: &[u8], asked: Request) -> bool {
        match (self, asked) {
            (Self::Lines, _) => true,
            (Self::Redis, Request::Put(_)) => answer == b"+OK\r\n",
            (Self::Shibudb, Request::Put(_)) => answer.starts_with(b"{\"status\":\"OK\""),
            (Self::Shibudb | Self::Redis, Request::Get(key)) => {
                memmem::find(answer, &value_head(key)).is_some()
            }
        }
    }
}

fn value(key: u64) -> String {
    let mut value = format!("v{key:09}-");
    value.extend(('a'..='z').cycle().take(VALUE - value.len()));
    value
}

/// The beginning of a key's value, without allocating.
fn value_head(mut key: u64) -> [u8; 11] {
    let mut head = *b"v000000000-";
    for digit in head[1..10].iter_mut().rev() {
        *digit += (key % 10) as u8;
        key /= 10;
    }
    head
}
