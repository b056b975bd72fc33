//! Clients that never stop connecting.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::machine::Machine;

/// How many clients connect at the same time.
const CLIENTS: usize = 4;

/// The outcomes of the connects.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Successful connects.
    pub(crate) connected: AtomicU32,
    /// Connections on which the server sent data.
    pub(crate) answered: AtomicU32,
    /// The connects that failed.
    pub(crate) failed: Mutex<Vec<io::Error>>,
}

/// Connects to the client port over and over while `work` is done.
pub(crate) fn storm(machine: &Machine, work: impl FnOnce(&Tally)) -> Tally {
    let tally = Tally::default();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            machine.inside(|| {
                thread::scope(|clients| {
                    for _ in 0..CLIENTS {
                        clients.spawn(|| {
                            while !over.load(Ordering::Relaxed) {
                                connect(&tally)
                            }
                        });
                    }
                });
            });
        });
        // Also when `work` panics: otherwise the clients would never end.
        let _end = EndOfStorm(&over);
        work(&tally);
    });
    tally
}

/// One client that sends an invalid line, so that it is answered at once.
///
/// Only a connect that fails counts against the server: a connection that the old process had
/// already accepted ends with it.
fn connect(tally: &Tally) {
    match TcpStream::connect(("127.0.0.1", 9090)) {
        Err(error) => tally.failed.lock().unwrap().push(error),
        Ok(mut client) => {
            tally.connected.fetch_add(1, Ordering::Relaxed);
            let answer = client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .and_then(|()| client.write_all(b"{}\n"))
                .and_then(|()| client.read_exact(&mut [0]));
            if answer.is_ok() {
                tally.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct EndOfStorm<'a>(&'a AtomicBool);

impl Drop for EndOfStorm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// Waits until the server has answered once more, and so is certainly serving.
    pub(crate) fn await_answer(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        crate::machine::eventually("a client is answered", || {
            (self.answered.load(Ordering::Relaxed) > before).then_some(())
        });
    }

    /// Panics if a connect failed.
    pub(crate) fn assert_none_failed(&self) {
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} of {self:?}", failed.len());
    }
}
