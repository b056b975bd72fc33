//! The worker that accepts: takes connections in batches and gives each to the worker with the fewest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::super::BACKLOG;
use super::super::accept::Accepted;
use super::super::admission::Admitted;
use super::super::connection::Connection;
use super::super::endings::Ending;
use super::super::handler::Handler;
use super::super::message::Message;
use super::super::probe::Probe;
use super::super::token::{Side, Token};
use super::{BATCH, LISTENER, Worker};

impl<H: Handler> Worker<H> {
    pub(super) fn accept(&mut self) -> io::Result<()> {
        let stopped_by = self.take_in_batch()?;
        let Some(acceptor) = &mut self.acceptor else { return Ok(()) };
        match stopped_by {
            Accepted::Crowded => {
                let pause = acceptor.undecided().pause(self.now).unwrap_or_default();
                // The listener would wake this thread again and again.
                if !pause.is_zero() {
                    acceptor.pause_for(pause, self.now);
                    self.readiness.forget(acceptor.listener())?;
                }
            }
            Accepted::Short => {
                self.readiness.forget(acceptor.listener())?;
                self.tell_others(|| Message::MakeRoom);
                if self.cut_parted()
                    && let Some(acceptor) = &mut self.acceptor
                {
                    acceptor.pause_for(Duration::ZERO, self.now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Accepts up to a batch of connections. Returns the result of the last attempt.
    fn take_in_batch(&mut self) -> io::Result<Accepted> {
        for _ in 0..BATCH {
            let Some(acceptor) = &mut self.acceptor else { return Ok(Accepted::Nobody) };
            match acceptor.accept(&self.shared, &mut self.linger, self.now)? {
                Accepted::Client(admitted) => self.assign(admitted),
                Accepted::Probe(transport) => self.pass_on(Probe::Connection(transport)),
                Accepted::Other => {}
                end @ (Accepted::Nobody | Accepted::Crowded | Accepted::Short) => return Ok(end),
            }
        }
        Ok(Accepted::Other)
    }

    /// Decides on clients that found no place free, and has the other workers check whether there is one now.
    pub(super) fn decide(&mut self, last_chance: bool) {
        let Some(acceptor) = &mut self.acceptor else { return };
        if acceptor.undecided().is_empty() {
            return;
        }
        let all = acceptor.decide(&self.shared, &mut self.linger, self.now, last_chance);
        for admitted in all {
            self.assign(admitted);
        }
        self.begin_round();
    }

    pub(super) fn begin_round(&mut self) {
        let Some(acceptor) = &mut self.acceptor else { return };
        if let Some(round) = acceptor.undecided().begin_round(self.now) {
            self.tell_others(|| Message::TakeHangUps(round));
        }
    }

    fn tell_others(&self, message: impl Fn() -> Message<H>) {
        for mailbox in self.shared.mailboxes.iter().filter(|mailbox| !Arc::ptr_eq(mailbox, &self.mailbox)) {
            mailbox.send(message());
        }
    }

    /// Reports to the accepting worker that all requested hang-ups are taken in.
    pub(super) fn answer_round(&mut self) {
        if let Some((round, _)) = self.asked.take_if(|(_, looks)| *looks < self.looks)
            && let Some(first) = self.shared.mailboxes.first()
        {
            first.send(Message::HangUpsTaken(round));
        }
    }

    /// Accepts again after a pause.
    pub(super) fn resume_accepting(&mut self) -> io::Result<()> {
        if let Some(acceptor) = &mut self.acceptor
            && acceptor.resume(self.now)
        {
            self.readiness.watch_listener(acceptor.listener(), LISTENER)?;
        }
        Ok(())
    }

    /// Closes the listener. Connections that the kernel has accepted by then are admitted or rejected: otherwise it
    /// would reset them. A `shared` listener leaves them to the process with the other copy.
    pub(super) fn stop_accepting(&mut self, shared: bool) -> io::Result<()> {
        if !shared {
            self.take_in_backlog()?;
        }
        self.decide(true);
        match self.acceptor.take() {
            // Closing alone is not enough: the process that passed the listener may have it open.
            Some(acceptor) if acceptor.paused_until().is_none() => self.readiness.forget(acceptor.listener()),
            // In a pause it is not watched.
            _ => Ok(()),
        }
    }

    fn take_in_backlog(&mut self) -> io::Result<()> {
        // No more than the kernel's queue: others may go on connecting.
        for _ in 0..=BACKLOG as usize / BATCH {
            match self.take_in_batch()? {
                Accepted::Nobody | Accepted::Short => break,
                Accepted::Crowded => self.decide(true),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives a connection to the worker with the fewest, to this one on a tie.
    fn assign(&mut self, admitted: Admitted) {
        let mut chosen = &self.mailbox;
        for mailbox in &self.shared.mailboxes {
            if mailbox.load() < chosen.load() {
                chosen = mailbox;
            }
        }
        chosen.add_load();
        if Arc::ptr_eq(chosen, &self.mailbox) {
            self.welcome(admitted);
        } else {
            chosen.send(Message::Welcome(admitted));
        }
    }

    /// Creates the connection of an admitted client.
    pub(super) fn welcome(&mut self, admitted: Admitted) {
        let connection = Connection::new(admitted, &self.settings, self.coarse_now());
        let entry = self.connections.vacant_entry();
        let token = Token::new(entry.key(), connection.id()).ok_or(io::ErrorKind::OutOfMemory);
        let watched = token
            .map_err(Into::into)
            .and_then(|token| self.readiness.watch(connection.transport(), token.key(Side::Client)));
        match watched {
            Ok(()) => {
                entry.insert(connection);
            }
            Err(error) => {
                self.recorder.ended(Ending::Failed);
                self.mailbox.take_load();
                let peer = connection.peer();
                tracing::warn!(%peer, %error, "cannot watch the connection of {peer}, so it is closed: {error}");
            }
        }
    }
}
