//! Clients of all kinds, each a function that runs until the end of the test.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::{Ledger, SPACE, Sent};
use super::scene::{Dice, Scene, Whereabouts};
use crate::harness::{Client, MAX_WAIT, PASSWORD};

/// How a writer treats its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One request at a time.
    Good,
    /// Byte after byte.
    Slow,
    /// Many requests at once.
    Pipelining,
    /// Disconnects in the middle of requests, with a reset.
    Resetting,
}

struct Session {
    client: Client,
    life: u64,
}

/// Writes, reads back, and reconnects. Acknowledged writes must be found.
pub(crate) fn write(scene: &Scene, manner: Manner, number: u64, mut dice: Dice) {
    let mut ledger = Ledger::new(number);
    let mut known_life = 0;
    while !scene.is_over() {
        let there = scene.whereabouts();
        let result = enter(scene, there).and_then(|session| match session {
            Some(mut session) => {
                session.look_up(scene, &mut ledger, there.life != known_life)?;
                known_life = there.life;
                let length = 1 + dice.below(60);
                session.write(scene, manner, &mut ledger, &mut dice, length)
            }
            None => {
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            }
        });
        excuse(scene, there, &format!("{manner:?}"), result);
    }
    // The load has ended, so there are free connections.
    let there = scene.whereabouts();
    let mut session = loop {
        match enter(scene, there).unwrap() {
            Some(session) => break session,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    session.look_up(scene, &mut ledger, there.life != known_life).unwrap();
}

/// Logs in; `None` if the server is full.
fn enter(scene: &Scene, there: Whereabouts) -> io::Result<Option<Session>> {
    let stream = TcpStream::connect_timeout(&there.address, MAX_WAIT)?;
    stream.set_read_timeout(Some(MAX_WAIT))?;
    stream.set_nodelay(true)?;
    let mut session = Session { client: Client::of(stream), life: there.life };
    // A full server answers whether or not this arrives.
    let sent = session.send(&format!("{}\n", json!({"username": "admin", "password": PASSWORD})));
    let answer = session.answer()?;
    if answer["status"] == "OK" {
        sent?;
        scene.counts.add("logins", 1);
        return Ok(Some(session));
    }
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with("Server at maximum capacity ("), "{message}");
    scene.counts.add("rejections, each read whole", 1);
    Ok(None)
}

/// An error is permitted only if the server was killed.
fn excuse(scene: &Scene, there: Whereabouts, who: &str, result: io::Result<()>) {
    if let Err(error) = result {
        assert!(scene.is_past(there.life), "{who}: {error}, and the server was not killed");
        scene.counts.add("connections cut off by a kill", 1);
    }
}

impl Session {
    fn send(&mut self, text: &str) -> io::Result<()> {
        io::Write::write_all(self.client.stream.get_mut(), text.as_bytes())
    }

    fn answer(&mut self) -> io::Result<Value> {
        let line = self.client.try_line()?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn write(
        &mut self,
        scene: &Scene,
        manner: Manner,
        ledger: &mut Ledger,
        dice: &mut Dice,
        length: u64,
    ) -> io::Result<()> {
        if manner == Manner::Pipelining {
            let sent: Vec<_> = (0..length).map(|_| ledger.send(dice.below(1 << 30))).collect();
            self.send(&sent.iter().map(Sent::line).collect::<String>())?;
            return sent.iter().try_for_each(|sent| self.acknowledged(scene, ledger, sent));
        }
        for _ in 0..length.min(if manner == Manner::Slow { 2 } else { length }) {
            let sent = ledger.send(dice.below(1 << 30));
            match manner {
                Manner::Slow => {
                    for byte in sent.line().as_bytes().chunks(sent.line().len() / 40 + 1) {
                        io::Write::write_all(self.client.stream.get_mut(), byte)?;
                        std::thread::sleep(Duration::from_millis(3));
                    }
                }
                Manner::Resetting if dice.below(20) == 0 => {
                    let part = usize::try_from(dice.below(sent.line().len() as u64 + 1)).unwrap();
                    self.send(&sent.line()[..part])?;
                    socket2::SockRef::from(self.client.stream.get_ref()).set_linger(Some(Duration::ZERO))?;
                    scene.counts.add("resets in the middle of a request", 1);
                    return Ok(());
                }
                _ => self.send(sent.line())?,
            }
            self.acknowledged(scene, ledger, &sent)?;
        }
        Ok(())
    }

    /// Reads the answer to a write.
    fn acknowledged(&mut self, scene: &Scene, ledger: &mut Ledger, sent: &Sent) -> io::Result<()> {
        let answer = self.answer()?;
        let message = answer["message"].as_str().unwrap();
        let done = if sent.is_delete() { "DELETED" } else { "OK" };
        // A missing key is missing afterwards, too.
        if message == done || (sent.is_delete() && message == "key not found") {
            ledger.acknowledge(sent);
            scene.counts.add("acknowledged writes", 1);
        } else {
            assert!(scene.disk_was_full_lately(), "life {}: a write is answered with {answer}", self.life);
            scene.counts.add("writes refused by a full disk", 1);
        }
        Ok(())
    }

    fn look_up(&mut self, scene: &Scene, ledger: &mut Ledger, settled: bool) -> io::Result<()> {
        self.send(&ledger.lookups())?;
        for position in 0..ledger.len() {
            let answer = self.answer()?;
            ledger.check(position, &answer, settled);
        }
        scene.counts.add("keys checked", ledger.len() as u64);
        Ok(())
    }
}

/// Holds connections that send nothing, until they are closed.
pub(crate) fn be_silent(scene: &Scene, most: usize) {
    let mut held: Vec<(u64, TcpStream)> = Vec::new();
    while !scene.is_over() {
        let there = scene.whereabouts();
        held.retain_mut(|(life, stream)| {
            // A reset by a killed server, or the end after the login timeout or a rejection.
            let stays = *life == there.life
                && matches!(stream.read(&mut [0; 200]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            if !stays {
                scene.counts.add("silent connections that were closed", 1);
            }
            stays
        });
        while held.len() < most {
            let Ok(stream) = TcpStream::connect_timeout(&there.address, MAX_WAIT) else { break };
            stream.set_nonblocking(true).unwrap();
            held.push((there.life, stream));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends invalid logins, logs in and sends invalid requests, and requests much without reading the answers.
pub(crate) fn send_garbage(scene: &Scene, mut dice: Dice) {
    while !scene.is_over() {
        let there = scene.whereabouts();
        let noise: Vec<u8> = (0..dice.below(3000)).map(|_| dice.below(256) as u8).collect();
        // The outcome of such a connection is irrelevant; only the server's state counts.
        drop(make_noise(scene, there, &noise, dice.below(3)));
        scene.counts.add("connections with garbage", 1);
        std::thread::sleep(dice.millis(1, 10));
    }
}

fn make_noise(scene: &Scene, there: Whereabouts, noise: &[u8], kind: u64) -> io::Result<()> {
    if kind == 0 {
        let mut stream = TcpStream::connect_timeout(&there.address, MAX_WAIT)?;
        return io::Write::write_all(&mut stream, noise);
    }
    let Some(mut session) = enter(scene, there)? else { return Ok(()) };
    if kind == 1 {
        return io::Write::write_all(session.client.stream.get_mut(), noise);
    }
    let big = json!({"type": "PUT", "space": SPACE, "key": "big", "value": "y".repeat(100_000)});
    session.send(&format!("{big}\n"))?;
    session.client.stream.get_ref().set_write_timeout(Some(Duration::from_millis(100)))?;
    let get = format!("{}\n", json!({"type": "GET", "space": SPACE, "key": "big"}));
    (0..500).try_for_each(|_| session.send(&get))
}
