//! The worker that accepts: takes connections in batches and gives each to whoever has the fewest.

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

    /// Accepts up to a batch of connections. Returns what came of the last attempt.
    fn take_in_batch(&mut self) -> io::Result<Accepted> {
        for _ in 0..BATCH {
            let Some(acceptor) = &mut self.acceptor else { return Ok(Accepted::Nobody) };
            match acceptor.accept(&self.shared, &mut self.linger, self.now)? {
                Accepted::Client(arrival) => self.assign(arrival),
                Accepted::Probe(transport) => self.pass_on(Probe::Connection(transport)),
                Accepted::Other => {}
                end @ (Accepted::Nobody | Accepted::Crowded | Accepted::Short) => return Ok(end),
            }
        }
        Ok(Accepted::Other)
    }

    /// Decides on clients that found no place free, and has the other workers look whether there is one now.
    pub(super) fn decide(&mut self, last_chance: bool) {
        let Some(acceptor) = &mut self.acceptor else { return };
        if acceptor.undecided().is_empty() {
            return;
        }
        let arrivals = acceptor.decide(&self.shared, &mut self.linger, self.now, last_chance);
        for arrival in arrivals {
            self.assign(arrival);
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

    /// Tells the worker that accepts that all hang-ups of which it had asked are taken in.
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

    /// Closes the listener. What the kernel has accepted by then becomes a connection or is turned away: it would
    /// be reset. With a `shared` listener it is left to the process that has the other copy.
    pub(super) fn stop_accepting(&mut self, shared: bool) -> io::Result<()> {
        if !shared {
            self.take_in_backlog()?;
        }
        self.decide(true);
        match self.acceptor.take() {
            // Its closing alone would not do: the listener may be open in whoever has handed it over.
            Some(acceptor) if acceptor.paused_until().is_none() => self.readiness.forget(acceptor.listener()),
            // In a pause it is not watched.
            _ => Ok(()),
        }
    }

    fn take_in_backlog(&mut self) -> io::Result<()> {
        // No more than the kernel keeps: others may go on connecting.
        for _ in 0..=BACKLOG as usize / BATCH {
            match self.take_in_batch()? {
                Accepted::Nobody | Accepted::Short => break,
                Accepted::Crowded => self.decide(true),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives a connection to the worker that has the fewest, to this one if it is as good as any.
    fn assign(&mut self, arrival: Admitted) {
        let mut chosen = &self.mailbox;
        for mailbox in &self.shared.mailboxes {
            if mailbox.load() < chosen.load() {
                chosen = mailbox;
            }
        }
        chosen.add_load();
        if Arc::ptr_eq(chosen, &self.mailbox) {
            self.welcome(arrival);
        } else {
            chosen.send(Message::Welcome(arrival));
        }
    }

    /// Makes a connection of one that has been admitted.
    pub(super) fn welcome(&mut self, arrival: Admitted) {
        let connection = Connection::new(arrival, &self.settings, self.coarse_now());
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
