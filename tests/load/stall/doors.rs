//! Every way to the server, used repeatedly.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::workload::CLIENTS;
use crate::harness::{Server, Signal, wait_until};

const READS: [&str; 8] =
    ["/health", "/stats", "/limit", "/history", "/config", "/connections", "/series", "/metrics"];

/// The ways to the server, and the slowest answer so far.
pub(crate) struct Doors {
    /// Whether a change is stored before its answer.
    stores: bool,
    /// The arguments of `manager` for the token, in a file that does not stall.
    manager: String,
    slowest: (Duration, &'static str),
}

impl Doors {
    /// Creates everything that clients and doors use, before anything stalls.
    pub(crate) fn open(server: &Server) -> Self {
        let mut admin = server.admin();
        admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
        for number in 0..4 {
            let put = json!({"type": "PUT", "space": "s", "key": format!("key {number}"), "value": "v"});
            admin.expect_ok(&put, "OK");
        }
        Self { stores: true, manager: "stats".to_owned(), slowest: (Duration::ZERO, "none") }
    }

    /// The data disk does not answer: a change is in force, and its answer reports that it is not stored.
    pub(crate) fn nothing_is_stored(&mut self) {
        self.stores = false;
    }

    /// `manager` needs a token, which is in this file.
    pub(crate) fn with_token_file(&mut self, path: &Path) {
        self.manager = format!("--token-file {} stats", path.display());
    }

    pub(crate) fn go_through(&mut self, server: &Server) {
        for path in READS {
            self.time(path, || assert_eq!(server.get(path).status, 200, "{path}"));
        }
        let limit = server.limit();
        self.time("PUT /limit", || {
            let reply = server.put("/limit", &format!(r#"{{"limit":{}}}"#, limit + 1));
            assert_eq!(reply.status, 200, "{}", reply.body);
        });
        assert_eq!(server.limit(), limit + 1);
        self.time("a refused PUT /limit", || {
            assert_eq!(server.put("/limit", r#"{"limit":999999999}"#).status, 409);
        });
        for (signal, expected) in [(Signal::USR1, limit + 101), (Signal::USR2, limit + 1)] {
            self.time("a signal", || {
                server.signal(signal);
                server.wait_until_limit(expected);
            });
        }
        let manager = self.manager.clone();
        self.time("manager", || assert!(server.manager(&manager).status.success()));
        self.time("POST /reload", || {
            assert!(matches!(server.post("/reload", "").status, 200 | 400 | 503 | 504))
        });
        self.time("a login", || drop(server.admin()));
        self.time("a rejection", || reject(server));
    }

    /// Causes a log line for each refusal, and more of them than any buffer holds.
    pub(crate) fn refuse_much(&mut self, server: &Server) {
        for _ in 0..4500 {
            self.time("a refused PUT /limit", || {
                assert_eq!(server.put("/limit", r#"{"limit":999999999}"#).status, 409);
            });
        }
    }

    fn time(&mut self, door: &'static str, use_it: impl FnOnce()) {
        let begun = Instant::now();
        use_it();
        self.slowest = self.slowest.max((begun.elapsed(), door));
    }
}

/// Connects as many clients as the limit admits, and one more.
fn reject(server: &Server) {
    let limit = server.limit();
    // The clients of the workload stay, and no other client is about to disconnect.
    server.wait_until_active(CLIENTS as u64);
    wait_until("the limit is at what is open", || {
        let active = server.active();
        server.put("/limit", &format!(r#"{{"limit":{active}}}"#)).status == 200
    });
    let line = server.connect().line().expect("a rejection");
    assert!(line.contains("Server at maximum capacity"), "{line}");
    server.set_limit(u32::try_from(limit).unwrap());
}

impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all doors, the slowest being {} with {:.1?}", self.slowest.1, self.slowest.0)
    }
}
