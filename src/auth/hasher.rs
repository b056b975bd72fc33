//! Password hashing, on threads of its own.
//!
//! One thread per core, at low priority: however many log in at once, clients that
//! are logged in are served first. Logins and changes of accounts wait in separate lanes, and a thread
//! alternates between them: an administrator's request waits for the current hash, not for
//! the logins queued. Both lanes are bounded; a job that finds its lane full is refused at once.
//! Hashes that no caller waits for any more are not computed.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::oneshot;

use super::{HashCost, imported};
use crate::unpoisoned::Unpoisoned as _;

/// How far the priority of these threads is lowered when the CPU is contended.
const NICENESS: i32 = 5;

/// Jobs that may wait in a lane. At the default cost, two threads compute as many logins in ten seconds,
/// which is the default time limit of a client.
const MOST_LOGINS: usize = 1024;
const MOST_CHANGES: usize = 64;

pub(super) struct Hasher {
    queue: Arc<Queue>,
}

/// The purpose of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A login, which any client can begin.
    Login,
    /// A change requested by an administrator.
    Change,
}

/// The password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The queue is full.
    #[error("too many passwords are waiting to be hashed: try again later")]
    Busy,
    /// The threads have ended.
    #[error("hashing has stopped")]
    Stopped,
    /// The algorithm refused it.
    #[error("{0}")]
    Failed(String),
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

/// Jobs that wait for a thread.
#[derive(Default)]
struct Queue {
    lanes: Mutex<Lanes>,
    /// Notified of each new job, and of the end.
    news: Condvar,
}

#[derive(Default)]
struct Lanes {
    logins: VecDeque<Job>,
    changes: VecDeque<Job>,
    closed: bool,
}

impl Hasher {
    /// Starts the threads. They end with the hasher.
    pub(super) fn start(cost: HashCost) -> io::Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hasher = Self { queue: Arc::default() };
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            let (argon2, queue) = (argon2.clone(), Arc::clone(&hasher.queue));
            thread::Builder::new().name("auth-hash".into()).spawn(move || work(&argon2, &queue))?;
        }
        Ok(hasher)
    }

    /// A new hash of `password`, as a PHC string.
    pub(super) async fn hash(&self, password: &str, lane: Lane) -> Result<String, HashError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(lane, Job::Hash { password: password.into(), reply })?;
        answer.await.map_err(|_| HashError::Stopped)?
    }

    /// Whether `password` matches `hash`. Without a hash it does not, but the check takes as long.
    /// While there are imported hashes, of which `imported` is any, it takes as long as both kinds.
    pub(super) async fn verify(
        &self,
        password: &str,
        hash: Option<Arc<str>>,
        imported: Option<Arc<str>>,
    ) -> Result<bool, HashError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Lane::Login, Job::Verify { password: password.into(), hash, imported, reply })?;
        answer.await.map_err(|_| HashError::Stopped)
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.queue.lanes().closed = true;
        self.queue.news.notify_all();
    }
}

impl Queue {
    fn push(&self, lane: Lane, job: Job) -> Result<(), HashError> {
        let mut lanes = self.lanes();
        let (jobs, most) = lanes.lane(lane);
        if jobs.len() >= most {
            jobs.retain(|job| !job.is_abandoned());
        }
        if jobs.len() >= most {
            return Err(HashError::Busy);
        }
        jobs.push_back(job);
        drop(lanes);
        self.news.notify_one();
        Ok(())
    }

    /// Waits for a job. `last` is the lane of the one before. `None` when no more will come.
    fn next(&self, last: Lane) -> Option<(Lane, Job)> {
        let mut lanes = self.lanes();
        loop {
            if lanes.closed {
                return None;
            }
            if let Some(found) = lanes.next(last) {
                return Some(found);
            }
            lanes = self.news.wait(lanes).unpoisoned();
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unpoisoned()
    }
}

impl Lanes {
    fn lane(&mut self, lane: Lane) -> (&mut VecDeque<Job>, usize) {
        match lane {
            Lane::Login => (&mut self.logins, MOST_LOGINS),
            Lane::Change => (&mut self.changes, MOST_CHANGES),
        }
    }

    /// The next job: from the lane not served last, if it has one.
    fn next(&mut self, last: Lane) -> Option<(Lane, Job)> {
        let order = match last {
            Lane::Login => [Lane::Change, Lane::Login],
            Lane::Change => [Lane::Login, Lane::Change],
        };
        order.into_iter().find_map(|lane| {
            let (jobs, _) = self.lane(lane);
            std::iter::from_fn(|| jobs.pop_front()).find(|job| !job.is_abandoned()).map(|job| (lane, job))
        })
    }
}

impl Job {
    /// Whether no caller waits for it any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }
}

fn work(argon2: &Argon2<'_>, queue: &Queue) {
    // Failing to lower the priority is no reason not to work.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "cannot lower the priority of password hashing: {error}");
    }
    let mut last = Lane::Login;
    while let Some((lane, job)) = queue.next(last) {
        last = lane;
        // The caller may be gone by now and not need the answer.
        match job {
            Job::Hash { password, reply } => {
                reply.send(hash(argon2, &password)).ok();
            }
            Job::Verify { password, hash, imported, reply } => {
                reply.send(verify(argon2, &password, hash.as_deref(), imported.as_deref())).ok();
            }
        }
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    let hash: PasswordHash =
        argon2.hash_password(password.as_bytes()).map_err(|error| HashError::Failed(error.to_string()))?;
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

/// Discards the result of work done only for the time it takes.
fn waste<T>(result: T) {
    drop(std::hint::black_box(result));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(password: &str) -> (Job, oneshot::Receiver<Result<String, HashError>>) {
        let (reply, answer) = oneshot::channel();
        (Job::Hash { password: password.into(), reply }, answer)
    }

    fn password(job: &Job) -> &str {
        match job {
            Job::Hash { password, .. } | Job::Verify { password, .. } => password,
        }
    }

    #[test]
    fn a_change_goes_before_the_logins_that_wait_and_does_not_stop_them() {
        let queue = Queue::default();
        let mut answers = Vec::new();
        for (lane, name) in [
            (Lane::Login, "l1"),
            (Lane::Login, "l2"),
            (Lane::Login, "l3"),
            (Lane::Change, "c1"),
            (Lane::Change, "c2"),
        ] {
            let (job, answer) = job(name);
            queue.push(lane, job).unwrap();
            answers.push(answer);
        }
        let mut last = Lane::Login;
        let order: Vec<_> = (0..5)
            .map(|_| {
                let (lane, job) = queue.next(last).unwrap();
                last = lane;
                password(&job).to_owned()
            })
            .collect();
        assert_eq!(order, ["c1", "l1", "c2", "l2", "l3"]);
    }

    #[test]
    fn a_full_lane_refuses_at_once_and_the_other_does_not() {
        let queue = Queue::default();
        let mut answers: Vec<_> = (0..MOST_LOGINS)
            .map(|_| {
                let (job, answer) = job("x");
                queue.push(Lane::Login, job).unwrap();
                answer
            })
            .collect();
        let (one_more, _answer) = job("x");
        assert_eq!(queue.push(Lane::Login, one_more), Err(HashError::Busy));
        let (change, _waits) = job("x");
        queue.push(Lane::Change, change).unwrap();
        answers.truncate(1);
        let (one_more, _waits) = job("last");
        queue.push(Lane::Login, one_more).unwrap();
        assert_eq!(queue.lanes().logins.len(), 2, "those that nobody waits for have made room");
    }

    #[test]
    fn what_nobody_waits_for_is_not_computed() {
        let queue = Queue::default();
        let (gone, answer) = job("gone");
        queue.push(Lane::Login, gone).unwrap();
        drop(answer);
        let (wanted, _answer) = job("wanted");
        queue.push(Lane::Login, wanted).unwrap();
        assert_eq!(password(&queue.next(Lane::Change).unwrap().1), "wanted");
    }
}
