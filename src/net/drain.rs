//! How the server ends: in good order, or at once.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Server;
use super::handler::Handler;
use super::mailbox::Mailbox;
use super::message::Message;

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy when the time was up, and were cut off.
    pub cut: usize,
}

impl<H: Handler> Server<H> {
    /// Stops accepting; the port is closed when this returns. Open connections go on, and so do those that were waiting
    /// to be accepted, unless the [listener is shared](Server::share_listener).
    pub async fn stop_accepting(&mut self) {
        if let Some(first) = self.shared.mailboxes.first() {
            let (stopped, wait) = oneshot::channel();
            first.send(Message::StopAccepting { shared: self.shares_listener, stopped });
            if wait.await.is_err() {
                tracing::error!("the accept thread failed");
            }
        }
    }

    /// Stops accepting and lets sessions finish: idle ones are closed at once, requests in progress are carried out and
    /// answered. The rest is cut off when `time_is_up`.
    pub async fn drain(mut self, time_is_up: impl Future<Output = ()>) -> Drained {
        self.stop_accepting().await;
        let drained = self.tell_all(Message::Drain);
        let all = async {
            for drained in drained {
                // An error means that the worker has ended, and its connections with it.
                drained.await.ok();
            }
        };
        let mut cut = 0;
        tokio::select! {
            // A worker that is done in time is not cut off, however short the time is.
            biased;
            () = all => {}
            () = time_is_up => for connections in self.tell_all(Message::Cut) {
                cut += connections.await.unwrap_or(0);
            },
        }
        self.stop();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        });
        if !matches!(joined.await, Ok(0)) {
            tracing::error!("a thread of the server has panicked");
        }
        Drained { cut }
    }

    fn stop(&self) {
        for mailbox in &self.shared.mailboxes {
            mailbox.send(Message::Stop);
        }
    }

    fn tell_all<T>(&self, message: impl Fn(oneshot::Sender<T>) -> Message<H>) -> Vec<oneshot::Receiver<T>> {
        let tell = |mailbox: &Arc<Mailbox<Message<H>>>| {
            let (sender, receiver) = oneshot::channel();
            mailbox.send(message(sender));
            receiver
        };
        self.shared.mailboxes.iter().map(tell).collect()
    }
}

impl<H: Handler> Drop for Server<H> {
    fn drop(&mut self) {
        self.stop();
    }
}
