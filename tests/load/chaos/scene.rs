//! The shared state of all threads: the server's address, the number of its restarts, and the counts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::harness::Server;

/// How long after a full disk a writer may still get the error.
const AFTERMATH: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    /// Locked for writing only while the server is killed and started again.
    pub(crate) server: RwLock<Server>,
    /// Read-locked during a change of the limit; write-locked to prevent changes.
    pub(crate) gate: RwLock<()>,
    pub(crate) file: Mutex<ConfigFile>,
    pub(crate) counts: Counts,
    life: AtomicU64,
    over: AtomicBool,
    disk_was_full: Mutex<Option<Instant>>,
}

/// The config file as it was last written.
#[derive(Default)]
pub(crate) struct ConfigFile {
    pub(crate) max_connections: u32,
    pub(crate) broken: bool,
}

/// The address of the server between a start and the next kill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whereabouts {
    pub(crate) address: SocketAddr,
    pub(crate) management_port: u16,
    pub(crate) life: u64,
}

/// Counts of events.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<&'static str, u64>>);

/// A generator of numbers that are random enough.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Scene {
    pub(crate) fn new(server: Server, file: ConfigFile) -> Self {
        Self {
            server: RwLock::new(server),
            gate: RwLock::default(),
            file: Mutex::new(file),
            counts: Counts::default(),
            life: AtomicU64::new(1),
            over: AtomicBool::new(false),
            disk_was_full: Mutex::default(),
        }
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        let server = self.server.read().unwrap();
        Whereabouts {
            address: server.address(),
            management_port: server.management_port(),
            life: self.life.load(Ordering::SeqCst),
        }
    }

    /// Kills the server and starts it again.
    pub(crate) fn kill(&self) {
        let mut server = self.server.write().unwrap();
        // Before clients can notice the end, so that they know its cause.
        self.life.fetch_add(1, Ordering::SeqCst);
        server.kill();
        server.start_again();
    }

    /// Whether the server of that life has been killed.
    pub(crate) fn is_past(&self, life: u64) -> bool {
        self.life.load(Ordering::SeqCst) != life
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Notes that the disk is full. Call it before the disk is filled, and again when it is freed.
    pub(crate) fn disk_is_full(&self) {
        *self.disk_was_full.lock().unwrap() = Some(Instant::now());
    }

    pub(crate) fn disk_was_full_lately(&self) -> bool {
        self.disk_was_full.lock().unwrap().is_some_and(|since| since.elapsed() < AFTERMATH)
    }
}

impl Counts {
    pub(crate) fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    pub(crate) fn most(&self, what: &'static str, number: u64) {
        let mut counts = self.0.lock().unwrap();
        let most = counts.entry(what).or_default();
        *most = (*most).max(number);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().unwrap().iter().try_for_each(|(what, count)| writeln!(f, "  {count:>9} {what}"))
    }
}

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
