//! The task that owns the settings: one reload after the other, whatever requests it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::files::{Files, Found};
use super::published::Published;
use super::reload::{Asked, Reloader};
use super::report;
use crate::management::ReloadRequest;

/// How often to check whether the files can be read at all.
const LOOK: Duration = Duration::from_millis(500);

/// Follows the files and has them read again on request, until a thread that reads them ends, which none should.
pub(super) async fn follow(
    reloader: Reloader,
    mut files: Files,
    mut requests: mpsc::Receiver<ReloadRequest>,
    mut signals: mpsc::Receiver<Asked>,
    published: Published,
) {
    let loaded = reloader.subscribe();
    let publish = || published.publish(&loaded.borrow());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(ReloadRequest { door, actor, reply }) = requests.recv() => {
                let result = reloader.reload(&mut files, Asked { door, actor }).await;
                publish();
                // The caller may not have waited: the reload has happened anyway.
                reply.send(report::reload(&loaded.borrow(), result)).ok();
            }
            Some(asked) = signals.recv() => {
                // The reload itself logs the result; a signal has no other recipient.
                reloader.reload(&mut files, asked).await.ok();
                publish();
            }
            found = files.changed() => match found {
                Some(Found::Config(found)) => if reloader.found(*found).await.is_some() {
                    publish();
                },
                Some(Found::Token(found)) => {
                    reloader.take_token(&found);
                    publish();
                }
                None => return,
            },
            _ = looks.tick() => if reloader.note_silence(files.silent_since()) {
                publish();
            },
        }
    }
}
