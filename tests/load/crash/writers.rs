//! Writers that write until the server is killed, and remember every answer.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, MAX_WAIT, PASSWORD};

/// Keys that each writer puts and deletes again and again.
const KEYS: u64 = 8;
/// The most requests in flight at once.
const BATCH: u64 = 8;
/// Lookups sent at once.
const LOOKUPS: usize = 500;
/// The number of each writer's writes, from all rounds, that are looked up again at the end.
const SAMPLE: usize = 3000;

/// The longest duration of the sync itself, on top of the second that may be lost.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// A generator of numbers that are random enough.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One writer. Its numbers grow with every request, over all rounds.
pub(crate) struct Writer {
    number: usize,
    space: &'static str,
    dice: Dice,
    next: u64,
    keys: HashMap<u64, Key>,
    once: Once,
    /// Reads of another writer's keys: writer, key, and the number of the value.
    seen: Vec<(usize, u64, u64)>,
    pub(crate) acknowledged: Acknowledged,
}

/// How many requests were answered OK.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) puts: u64,
    pub(crate) deletes: u64,
}

/// The possible states of a key: the acknowledged one, then those in flight.
struct Key(VecDeque<State>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    number: u64,
    present: bool,
}

/// Keys that are put once and never touched again; each is named after the number of its request.
#[derive(Default)]
struct Once {
    /// The keys of this round and the time of each answer; those without an answer are last.
    sent: Vec<(u64, Option<Instant>)>,
    present: Vec<u64>,
    absent: Vec<u64>,
}

enum Sent {
    Put(u64, u64),
    Delete(u64, u64),
    PutOnce(usize),
    Read(usize, u64),
}

impl Writer {
    pub(crate) fn new(number: usize, space: &'static str, seed: u64) -> Self {
        let nothing = State { number: 0, present: false };
        let keys = (0..KEYS).map(|key| (key, Key(VecDeque::from([nothing])))).collect();
        let dice = Dice(seed.wrapping_add(number as u64));
        Self {
            number,
            space,
            dice,
            next: 1,
            keys,
            once: Once::default(),
            seen: Vec::new(),
            acknowledged: Acknowledged::default(),
        }
    }

    /// Writes until the connection breaks. With `once` it touches no key twice.
    pub(crate) fn write(&mut self, server: SocketAddr, once: bool, writers: usize) {
        // The connection may break at any moment, also before it is established.
        let Ok(stream) = TcpStream::connect(server) else { return };
        stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client::of(stream);
        let login = json!({"username": "admin", "password": PASSWORD});
        if answer(&mut client, &login.to_string()).is_err() {
            return;
        }
        while self.write_batch(&mut client, once, writers).is_ok() {}
    }

    fn write_batch(&mut self, client: &mut Client, once: bool, writers: usize) -> io::Result<()> {
        let mut requests = String::new();
        let mut sent = Vec::new();
        for _ in 0..=self.dice.below(BATCH) {
            let number = self.next;
            self.next += 1;
            let key = self.dice.below(KEYS);
            match self.dice.below(8) {
                _ if once => sent.push(self.put_once(number, &mut requests)),
                0..3 => sent.push(self.put_once(number, &mut requests)),
                3..6 => {
                    requests += &self.put(&format!("{}:{key}", self.number), number);
                    self.keys.get_mut(&key).unwrap().0.push_back(State { number, present: true });
                    sent.push(Sent::Put(key, number));
                }
                _ => {
                    requests += &self.request("DELETE", &format!("{}:{key}", self.number));
                    self.keys.get_mut(&key).unwrap().0.push_back(State { number, present: false });
                    sent.push(Sent::Delete(key, number));
                }
            }
        }
        if !once {
            // A writer in the same space, which is every second one.
            let other = (self.number + 2) % writers;
            let key = self.dice.below(KEYS);
            requests += &self.request("GET", &format!("{other}:{key}"));
            sent.push(Sent::Read(other, key));
        }
        client.stream.get_mut().write_all(requests.as_bytes())?;
        for sent in sent {
            let answer = line(client)?;
            self.answered(sent, &answer);
        }
        Ok(())
    }

    fn put_once(&mut self, number: u64, requests: &mut String) -> Sent {
        *requests += &self.put(&format!("{}/{number}", self.number), number);
        self.once.sent.push((number, None));
        Sent::PutOnce(self.once.sent.len() - 1)
    }

    fn answered(&mut self, sent: Sent, answer: &Value) {
        match sent {
            Sent::PutOnce(index) => {
                assert_eq!(*answer, json!({"status": "OK", "message": "OK"}));
                self.once.sent[index].1 = Some(Instant::now());
                self.acknowledged.puts += 1;
            }
            Sent::Put(key, number) => {
                assert_eq!(*answer, json!({"status": "OK", "message": "OK"}));
                self.keys.get_mut(&key).unwrap().acknowledge(number);
                self.acknowledged.puts += 1;
            }
            Sent::Delete(key, number) => {
                // No other writer writes this key, so it is known whether it existed.
                let before = self.keys.get_mut(&key).unwrap().acknowledge(number);
                if before.present {
                    assert_eq!(*answer, json!({"status": "OK", "message": "DELETED"}));
                } else {
                    assert_eq!(*answer, json!({"status": "ERROR", "message": "key not found"}));
                }
                self.acknowledged.deletes += 1;
            }
            Sent::Read(other, key) => {
                if let Some(number) = number(answer) {
                    assert_eq!(answer["value"], value(other, number));
                    self.seen.push((other, key, number));
                }
            }
        }
    }

    fn put(&self, key: &str, number: u64) -> String {
        let value = value(self.number, number);
        format!("{}\n", json!({"type": "PUT", "space": self.space, "key": key, "value": value}))
    }

    fn request(&self, kind: &str, key: &str) -> String {
        format!("{}\n", json!({"type": kind, "space": self.space, "key": key}))
    }

    /// Every acknowledged write is present, in order, and any other value was in flight.
    pub(crate) fn expect_everything(&mut self, client: &mut Client) {
        for key in 0..KEYS {
            let found = answer(client, &self.request("GET", &format!("{}:{key}", self.number))).unwrap();
            let found =
                number(&found).inspect(|&number| assert_eq!(found["value"], value(self.number, number)));
            let states = &mut self.keys.get_mut(&key).unwrap().0;
            let state = states.iter().copied().find(|state| found == state.present.then_some(state.number));
            let state = state.unwrap_or_else(|| {
                panic!("key {key} of writer {}: {found:?}, which is none of {states:?}", self.number)
            });
            // From now on the key has the state that was found.
            *states = VecDeque::from([state]);
        }
        let sent = std::mem::take(&mut self.once.sent);
        let found = self.find_once(client, sent.iter().map(|&(number, _)| number));
        for ((number, acknowledged), found) in sent.into_iter().zip(found) {
            assert!(found || acknowledged.is_none(), "{number} of writer {} is lost", self.number);
            if found { self.once.present.push(number) } else { self.once.absent.push(number) }
        }
    }

    /// The first writes of this round are present, and only the last second of them is lost. Returns how many
    /// acknowledged writes are lost.
    pub(crate) fn expect_all_but_the_last_second(&mut self, client: &mut Client, end: Instant) -> usize {
        let sent = std::mem::take(&mut self.once.sent);
        let found = self.find_once(client, sent.iter().map(|&(number, _)| number));
        let kept = found.iter().take_while(|&&found| found).count();
        assert!(found[kept..].iter().all(|found| !found), "writer {}: later ones are kept", self.number);
        let lost: Vec<_> = sent[kept..].iter().filter_map(|&(_, acknowledged)| acknowledged).collect();
        let allowed = Duration::from_secs(1) + SLOW_SYNC;
        for acknowledged in &lost {
            let before = end.saturating_duration_since(*acknowledged);
            assert!(before < allowed, "writer {}: lost after {before:?}", self.number);
        }
        self.once.present.extend(sent[..kept].iter().map(|&(number, _)| number));
        self.once.absent.extend(sent[kept..].iter().map(|&(number, _)| number));
        lost.len()
    }

    /// Keys found after earlier rounds are still present, and lost ones have not reappeared. Checks an even
    /// sample of both.
    pub(crate) fn expect_nothing_changed(&self, client: &mut Client) {
        let some = |all: &[u64]| all.iter().copied().step_by(1 + all.len() / SAMPLE).collect::<Vec<_>>();
        let found = |client: &mut Client, all: &[u64]| self.find_once(client, some(all).into_iter());
        assert!(found(client, &self.once.present).into_iter().all(|found| found));
        assert!(!found(client, &self.once.absent).into_iter().any(|found| found));
    }

    fn find_once(&self, client: &mut Client, numbers: impl Iterator<Item = u64>) -> Vec<bool> {
        let numbers: Vec<_> = numbers.collect();
        let mut found = Vec::new();
        for numbers in numbers.chunks(LOOKUPS) {
            client.send(
                numbers
                    .iter()
                    .map(|n| self.request("GET", &format!("{}/{n}", self.number)))
                    .collect::<String>(),
            );
            for &number in numbers {
                let answer = line(client).unwrap();
                found.push(answer["status"] == "OK");
                if answer["status"] == "OK" {
                    assert_eq!(answer["value"], value(self.number, number));
                }
            }
        }
        found
    }
}

impl Key {
    /// The request of this number was answered. Returns the state that it found.
    fn acknowledge(&mut self, number: u64) -> State {
        let mut before = self.0[0];
        while self.0[0].number < number {
            before = self.0.pop_front().unwrap();
        }
        before
    }
}

/// No writer has read a value that is lost: a read by another writer counts as much as an acknowledgement.
pub(crate) fn exchange_what_was_seen(writers: &mut [Writer]) {
    let seen: Vec<_> = writers.iter_mut().flat_map(|writer| std::mem::take(&mut writer.seen)).collect();
    for (writer, key, number) in seen {
        let states = &mut writers[writer].keys.get_mut(&key).unwrap().0;
        while states[0].number < number {
            states.pop_front();
        }
    }
}

/// The value of that request: it names its writer, and is alternately long and short.
fn value(writer: usize, number: u64) -> String {
    format!("{writer} {number} {}", "#".repeat(usize::try_from(number * 7919 % 400).unwrap()))
}

/// The number in the value that was found.
fn number(answer: &Value) -> Option<u64> {
    if *answer == json!({"status": "ERROR", "message": "key not found"}) {
        return None;
    }
    Some(answer["value"].as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap())
}

fn answer(client: &mut Client, request: &str) -> io::Result<Value> {
    client.stream.get_mut().write_all(format!("{}\n", request.trim_end()).as_bytes())?;
    line(client)
}

/// A whole line; a broken connection ends with half a line or none.
fn line(client: &mut Client) -> io::Result<Value> {
    let line = client.try_line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(serde_json::from_str(&line)?)
}
