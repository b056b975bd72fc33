//! Password hashing, on threads of its own.
//!
//! One thread per core and not one more, at low priority: however many log in at once, those who
//! are in are served first. Hashes nobody waits for any more are not computed.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::oneshot;

use super::{HashCost, imported};

/// How much less than everything else these threads get when there is not enough for all.
const NICENESS: i32 = 5;

pub(super) struct Hasher {
    jobs: Sender<Job>,
}

enum Job {
    Hash {
        password: String,
        reply: oneshot::Sender<Result<String, HashError>>,
    },
    Verify {
        password: String,
        hash: Option<Arc<str>>,
        imported: Option<Arc<str>>,
        reply: oneshot::Sender<bool>,
    },
}

/// The password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HashError(String);

impl Hasher {
    /// Starts the threads. They end with the hasher.
    pub(super) fn start(cost: HashCost) -> io::Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            let (argon2, queue) = (argon2.clone(), Arc::clone(&queue));
            thread::Builder::new().name("auth-hash".into()).spawn(move || work(&argon2, &queue))?;
        }
        Ok(Self { jobs })
    }

    /// A new hash of `password`, as a PHC string.
    pub(super) async fn hash(&self, password: &str) -> Result<String, HashError> {
        let gone = || HashError("hashing has stopped".into());
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Hash { password: password.into(), reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Whether `password` is that of `hash`. Without a hash it is not, but takes as long to say so.
    /// While there are imported hashes, of which `imported` is any, it takes as long as both kinds.
    pub(super) async fn verify(
        &self,
        password: &str,
        hash: Option<Arc<str>>,
        imported: Option<Arc<str>>,
    ) -> bool {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Verify { password: password.into(), hash, imported, reply }).is_ok()
            && answer.await.unwrap_or(false)
    }
}

fn work(argon2: &Argon2<'_>, queue: &Mutex<Receiver<Job>>) {
    // Not being nice is no reason not to work.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "cannot lower the priority of password hashing");
    }
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // Whoever asked may be gone by now, before or after: then nobody needs the answer.
        match job {
            Ok(Job::Hash { password, reply }) if !reply.is_closed() => {
                reply.send(hash(argon2, &password)).ok();
            }
            Ok(Job::Verify { password, hash, imported, reply }) if !reply.is_closed() => {
                reply.send(verify(argon2, &password, hash.as_deref(), imported.as_deref())).ok();
            }
            Ok(_) => {}
            Err(mpsc::RecvError) => return,
        }
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    let hash: PasswordHash =
        argon2.hash_password(password.as_bytes()).map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(argon2: &Argon2<'_>, password: &str, expected: Option<&str>, imported: Option<&str>) -> bool {
    if let Some(expected) = expected.filter(|hash| imported::is_imported(hash)) {
        if imported::verify(password, expected) {
            return true;
        }
        waste(hash(argon2, password));
        return false;
    }
    match expected.and_then(|expected| PasswordHash::new(expected).ok()) {
        Some(expected) if argon2.verify_password(password.as_bytes(), &expected).is_ok() => return true,
        Some(_) => {}
        None => waste(hash(argon2, password)),
    }
    waste(imported.map(|hash| imported::verify(password, hash)));
    false
}

/// Takes the result of work that was done for nothing but the time that it takes.
fn waste<T>(result: T) {
    drop(std::hint::black_box(result));
}
