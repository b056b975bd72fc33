//! Clients that work, and the longest wait of one of them for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, Server};

pub(crate) const CLIENTS: usize = 4;

/// The requests that need the stalled thing. The clients do not send those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Writes,
}

pub(crate) struct Workload {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Duration)>>,
}

impl Workload {
    pub(crate) fn begin(server: &Server, needs: Needs) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS)
            .map(|number| {
                let (client, over) = (server.admin(), Arc::clone(&over));
                thread::spawn(move || work(client, number, needs, &over))
            })
            .collect();
        Self { over, clients }
    }

    /// The number of answered requests, and the time of the slowest answer.
    pub(crate) fn end(self) -> (usize, Duration) {
        self.over.store(true, Ordering::Relaxed);
        let done = self.clients.into_iter().map(|client| client.join().unwrap());
        done.fold((0, Duration::ZERO), |(requests, slowest), (more, slow)| {
            (requests + more, slowest.max(slow))
        })
    }
}

fn work(mut client: Client, number: usize, needs: Needs, over: &AtomicBool) -> (usize, Duration) {
    let (mut requests, mut slowest) = (0, Duration::ZERO);
    // Written before anything stalls.
    let key = format!("key {number}");
    while !over.load(Ordering::Relaxed) {
        let put = json!({"type": "PUT", "space": "s", "key": key, "value": requests.to_string()});
        let get = json!({"type": "GET", "space": "s", "key": key});
        for request in [put, get].iter().skip(usize::from(needs == Needs::Writes)) {
            let begun = Instant::now();
            let answer = client.ask(request);
            assert_eq!(answer["status"], "OK", "{answer}");
            slowest = slowest.max(begun.elapsed());
            requests += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    (requests, slowest)
}
