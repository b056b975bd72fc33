//! Requests of a normal client, alone and beside clients that take all they can get.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::contender::{Contender, LOGIN, Shibudb};
use crate::crowd::Conversation;
use crate::figures::{Figures, WORST, latencies, micros, record};
use crate::hostile::{Hostile, Means};
use crate::rounds::{Lane, Measured, SHIBUDB, Scale, interleave};

const REQUESTS: u64 = 2000;

/// The same client without the others.
pub(crate) const ALONE: &str = "alone";

/// Little memory for requests and little time for logins: so there is a shortage.
const SETTINGS: &str = "login_timeout = \"2s\"\nmax_request = \"64KiB\"\nmax_inflight_bytes = \"1MiB\"\n";

pub(super) fn measure(scale: &Scale) -> Result<Measured> {
    let server = Shibudb { client: SETTINGS, ..Shibudb::default() }.start()?;
    let mut admin = Conversation::open(server.address())?;
    for request in [
        json!({"type": "CREATE_SPACE", "space": "s"}),
        json!({"type": "PUT", "space": "s", "key": "large", "value": "x".repeat(50_000)}),
    ] {
        let answer = admin.ask(format!("{request}\n"))?;
        ensure!(answer.contains("\"OK\""), "{answer}");
    }
    let means = Means {
        server: server.address(),
        login: String::from_utf8(LOGIN.to_vec())?,
        victim: "somebody".to_owned(),
    };
    interleave(
        scale,
        vec![
            Lane::new(SHIBUDB, || {
                let _hostile = Hostile::begin(&means);
                work(&server, scale)
            }),
            Lane::new(ALONE, || work(&server, scale)),
        ],
    )
}

/// PUT and GET, one after another.
fn work(server: &Contender, scale: &Scale) -> Result<Figures> {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let mut client = Conversation::open(server.address())?;
    let key = format!("key {}", ROUND.fetch_add(1, Ordering::Relaxed));
    let requests = [
        json!({"type": "PUT", "space": "s", "key": key, "value": "v"}),
        json!({"type": "GET", "space": "s", "key": key}),
    ]
    .map(|request| format!("{request}\n"));
    let mut latency = latencies();
    for _ in 0..scale.count(REQUESTS) {
        for request in &requests {
            let begun = std::time::Instant::now();
            let answer = client.ask(request)?;
            record(&mut latency, begun.elapsed());
            ensure!(answer.contains("\"OK\""), "{answer}");
        }
    }
    let worst = micros(std::time::Duration::from_nanos(latency.max()));
    Ok(Figures::default().with_latency(&latency).with(WORST, worst))
}
