//! One client, from its login to its end. Owns the permit, so that every way out frees the place.
//!
//! A session that waits for input is one small future: no buffer, no timer, no channel. What is needed
//! only now and then while working is boxed, so that it does not make every waiting session larger.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use crate::limiter::Permit;
use crate::protocol::{Login, Refusal, Reply};

use super::admin::{administer, with_profile};
use super::buffers::{Buffers, Fill};
use super::registry::{Connection, Registered, State};
use super::requests::{Client, Step, answer_writes};

/// One client's session.
pub(super) struct Session {
    connection: Registered,
    client: Client,
    /// Buffers with the beginning of a line in them.
    kept: Option<Box<Buffers>>,
    /// Declared last: when its place is free, everything else of the session is gone.
    permit: Permit,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed the connection, or it broke.
    Closed,
    /// The session was overdue, or the server is shutting down.
    Ended,
    /// The client was told why, and is to read it.
    Refused,
}

impl Session {
    pub(super) fn new(connection: Registered, permit: Permit) -> Self {
        let longest_line = connection.shared().services.settings.borrow().max_request;
        Self { connection, client: Client::new(longest_line), kept: None, permit }
    }

    /// Serves the client to the end. A panic ends this session and nothing else.
    ///
    /// Not an `async fn`: that would keep the session twice, once as its argument.
    pub(super) fn run_guarded(self) -> impl Future<Output = ()> + Send {
        let peer = self.connection.connection().peer;
        let counters = Arc::clone(&self.connection.shared().counters);
        guarded(self.run()).map(move |ended| {
            if ended.is_err() {
                counters.panic();
                tracing::error!(%peer, "a session panicked: its connection is closed");
            }
        })
    }

    async fn run(mut self) {
        let end = self.serve().await;
        let Self { connection, permit, .. } = self;
        tracing::debug!(peer = %connection.connection().peer, ?end, "a connection ended");
        if end == End::Refused {
            let shared = connection.shared().clone();
            if let Some(socket) = connection.into_socket() {
                // Who lingers takes no place from others.
                drop(permit);
                shared.linger.close(socket);
            }
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            // Here a session spends its life.
            if self.connection.connection().readable().await.is_err() {
                return End::Closed;
            }
            if !self.connection.begin() {
                return End::Ended;
            }
            let mut buffers = self.kept.take().unwrap_or_else(|| self.connection.shared().buffers.take());
            let connection = self.connection.connection();
            let before = buffers.input.len();
            if connection.read(&mut buffers.input) == Fill::Closed {
                return self.put_back(buffers, End::Closed);
            }
            Connection::add(&connection.bytes_in, buffers.input.len() - before);
            let requests = connection.requests.load(Ordering::Relaxed);
            if let Err(end) = self.work(&mut buffers).await {
                return self.put_back(buffers, end);
            }
            if buffers.input.is_empty() {
                self.connection.shared().buffers.give(buffers);
            } else {
                self.kept = Some(buffers);
            }
            let waits = match self.client.user() {
                // Whoever sends its login or a request byte by byte gains no time by that.
                None => self.connection.wait(State::LoggingIn, false),
                Some(_) => {
                    let progress = before == 0
                        || requests != self.connection.connection().requests.load(Ordering::Relaxed);
                    self.connection.wait(State::Idle, progress)
                }
            };
            if !waits {
                return End::Ended;
            }
        }
    }

    /// Handles all complete lines, and sends the answers with as few writes as possible.
    async fn work(&mut self, buffers: &mut Buffers) -> Result<(), End> {
        loop {
            let shared = self.connection.shared();
            let (step, handled) = self.client.advance(buffers, &shared.services);
            Connection::add(&self.connection.connection().requests, handled);
            match step {
                Step::Read => return self.send(&mut buffers.output).await,
                Step::Send => self.send(&mut buffers.output).await?,
                Step::Commit => Box::pin(self.commit(buffers)).await,
                Step::Administer(request) => {
                    Box::pin(administer(*request, &shared.services, &mut buffers.output)).await;
                }
                Step::LogIn(login) => {
                    if !Box::pin(self.log_in(login, &mut buffers.output)).await {
                        return self.refuse(buffers).await;
                    }
                }
                Step::Close => return self.refuse(buffers).await,
            }
        }
    }

    async fn commit(&self, buffers: &mut Buffers) {
        let writes = std::mem::take(&mut buffers.writes);
        let submitted = writes.len();
        let committed = self.connection.shared().services.store.write(writes).await;
        answer_writes(committed, submitted, &mut buffers.output);
    }

    /// Whether the client is who it says it is. The answer is appended either way.
    async fn log_in(&mut self, login: Login, output: &mut Vec<u8>) -> bool {
        let accounts = &self.connection.shared().services.accounts;
        let peer = self.connection.connection().peer;
        // Read before the check: a change during it is then noticed with the first request.
        let generation = accounts.generation();
        match accounts.login(&login.username, &login.password, peer.ip()).await {
            Ok(account) => {
                with_profile(&account, |profile| Reply::Welcome(profile).render(output));
                self.client.logged_in(account, generation);
                true
            }
            Err(_) => {
                tracing::debug!(%peer, "a login was refused");
                Reply::from(Refusal::AuthenticationFailed).render(output);
                false
            }
        }
    }

    /// Sends the last answer, and the end of file with it.
    async fn refuse(&self, buffers: &mut Buffers) -> Result<(), End> {
        self.send_with(&mut buffers.output, true).await?;
        // Otherwise the last segment would wait for more. If it fails, the connection is gone.
        self.connection.connection().finish().map_err(|_| End::Closed)?;
        Err(End::Refused)
    }

    async fn send(&self, output: &mut Vec<u8>) -> Result<(), End> {
        self.send_with(output, false).await
    }

    /// Sends all of `output` and empties it. Nearly always that is one call and nobody waits.
    async fn send_with(&self, output: &mut Vec<u8>, more: bool) -> Result<(), End> {
        if output.is_empty() {
            return Ok(());
        }
        let connection = self.connection.connection();
        let sent = match connection.send(output, more) {
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(_) => return Err(End::Closed),
        };
        if sent < output.len() {
            Box::pin(self.send_slowly(&output[sent..], more)).await?;
        }
        Connection::add(&connection.bytes_out, output.len());
        output.clear();
        Ok(())
    }

    /// Sends to a client that reads more slowly than it asks. The sweep ends it if it does not read at all.
    async fn send_slowly(&self, mut rest: &[u8], more: bool) -> Result<(), End> {
        while !rest.is_empty() {
            self.connection.wait(State::Writing, true);
            let sent = self.connection.connection().send_patiently(rest, more).await;
            if !self.connection.begin() {
                return Err(End::Ended);
            }
            match sent {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Closed),
            }
        }
        Ok(())
    }

    /// Gives back the buffers of a session that ends.
    fn put_back(&self, buffers: Box<Buffers>, end: End) -> End {
        self.connection.shared().buffers.give(buffers);
        end
    }
}

/// Runs `future` to its end or to its panic; what it owns is dropped either way.
fn guarded<F: Future>(future: F) -> impl Future<Output = std::thread::Result<F::Output>> {
    // Sound: after a panic nothing of the future is looked at again, and what it shares with others
    // is left whole (locks are held only for moves of single values).
    AssertUnwindSafe(future).catch_unwind()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::limiter::Limiter;

    fn size_of_output<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_waiting_session_is_small() {
        let size = size_of_output(Session::run_guarded);
        assert!(size <= 512, "{size} bytes");
    }

    #[tokio::test]
    async fn a_panic_frees_the_place() {
        let limiter = Limiter::new(NonZeroU32::MIN, NonZeroU32::MIN).unwrap();
        let permit = limiter.try_acquire().unwrap();
        let session = guarded(async move {
            let _permit = permit;
            panic!("injected");
        });
        let ended: std::thread::Result<()> = session.await;
        assert!(ended.is_err());
        assert_eq!(limiter.snapshot().active, 0);
    }
}
