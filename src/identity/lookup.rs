//! Blocking lookups on a separate thread, for callers that must not block.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a caller waits for the answer.
pub(super) const MAX_WAIT: Duration = Duration::from_millis(500);

/// The most waiting questions. Further ones get no answer.
const QUEUE: usize = 64;

/// Answers one question after the other.
pub(super) struct Lookup<K, V> {
    /// The name of the thread.
    name: &'static str,
    look: fn(&K) -> Option<V>,
    /// `None` if the thread cannot be started.
    questions: OnceLock<Option<SyncSender<Question<K, V>>>>,
}

struct Question<K, V> {
    key: K,
    reply: oneshot::Sender<Option<V>>,
}

impl<K: Send + 'static, V: Send + 'static> Lookup<K, V> {
    /// The thread begins with the first question.
    pub(super) const fn new(name: &'static str, look: fn(&K) -> Option<V>) -> Self {
        Self { name, look, questions: OnceLock::new() }
    }

    /// The answer, if there is one and it comes in time.
    pub(super) async fn ask(&self, key: K) -> Option<V> {
        let (reply, answer) = oneshot::channel();
        let questions = self.questions.get_or_init(|| self.begin()).as_ref()?;
        questions.try_send(Question { key, reply }).ok()?;
        timeout(MAX_WAIT, answer).await.ok()?.ok()?
    }

    fn begin(&self) -> Option<SyncSender<Question<K, V>>> {
        let (questions, asked) = sync_channel(QUEUE);
        let look = self.look;
        let spawned = thread::Builder::new().name(self.name.into()).spawn(move || answer(&asked, look));
        if let Err(error) = &spawned {
            tracing::warn!(%error, "cannot start the thread {}: {error}", self.name);
        }
        spawned.is_ok().then_some(questions)
    }
}

fn answer<K, V>(questions: &Receiver<Question<K, V>>, look: fn(&K) -> Option<V>) {
    while let Ok(Question { key, reply }) = questions.recv() {
        // The caller may have given up.
        if !reply.is_closed() {
            reply.send(look(&key)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static HELD: Mutex<()> = Mutex::new(());
    static SLOW: Lookup<u32, u32> = Lookup::new("slow", |n| {
        drop(HELD.lock().unwrap());
        (*n > 0).then_some(n * 2)
    });

    /// Whatever the thread waits for, the caller does not.
    #[test]
    fn who_asks_does_not_wait_for_what_hangs() {
        let runtime = |paused| {
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(paused).build().unwrap()
        };
        let held = HELD.lock().unwrap();
        runtime(true).block_on(async {
            for n in 0..2 * QUEUE as u32 {
                assert_eq!(SLOW.ask(n).await, None);
            }
        });
        drop(held);
        runtime(false).block_on(async {
            while SLOW.ask(21).await != Some(42) {}
            assert_eq!(SLOW.ask(0).await, None);
        });
    }
}
