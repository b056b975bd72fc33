//! The last attempts, in memory.
//!
//! [`KEPT`] applied changes and [`KEPT`] refused attempts are kept, so that no number of
//! refusals pushes out the changes. [`super::history_file`] handles the file of all attempts.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::broadcast;

use super::subscription::WAITING;
use super::{Door, Outcome, Record};
use crate::unpoisoned::Unpoisoned as _;

/// How many records of each outcome are kept in memory.
pub(crate) const KEPT: usize = 1000;

/// The longest line that can be a record; anything longer is damage, and not worth the memory.
const LONGEST_LINE: u64 = 64 * 1024;

/// The last attempts, readable from anywhere.
#[derive(Debug)]
pub struct History {
    rooms: Mutex<Rooms>,
    next: AtomicU64,
    lost: AtomicU64,
    applied: [AtomicU64; Door::ALL.len()],
    refused: [AtomicU64; Door::ALL.len()],
    followers: broadcast::Sender<Record>,
}

#[derive(Debug, Default)]
struct Rooms {
    applied: Room,
    refused: Room,
}

/// In the order in which they were decided.
type Room = VecDeque<(Position, Record)>;

/// The place of a record among all others: by its decision, no matter when it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u64);

impl Position {
    /// The following position.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How many attempts there were through one door, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// The door.
    pub door: Door,
    /// Those that changed the limit, or set it to what it was.
    pub applied: u64,
    /// Those that changed nothing.
    pub refused: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            rooms: Mutex::default(),
            next: AtomicU64::default(),
            lost: AtomicU64::default(),
            applied: Default::default(),
            refused: Default::default(),
            followers: broadcast::Sender::new(WAITING),
        }
    }
}

impl History {
    /// The last `count` records, newest first. Half of them are applied changes, as long as there
    /// are enough.
    pub fn latest(&self, count: usize) -> Vec<Record> {
        let rooms = self.lock();
        let mut applied = rooms.applied.iter().rev().peekable();
        let most_refused = count - rooms.applied.len().min(count / 2);
        let mut refused = rooms.refused.iter().rev().take(most_refused).peekable();
        let position = |entry: Option<&&(Position, Record)>| entry.map(|(position, _)| *position);
        let newest_first = std::iter::from_fn(|| {
            if position(applied.peek()) > position(refused.peek()) { applied.next() } else { refused.next() }
        });
        newest_first.take(count).map(|(_, record)| record.clone()).collect()
    }

    /// Remembers the records in a file of earlier runs, whatever its state: invalid lines are
    /// skipped. Returns how many there were.
    ///
    /// # Errors
    /// The error that stopped the read. The records before it are remembered.
    pub fn read(&self, file: impl Read) -> io::Result<u64> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let mut skipped = 0;
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(skipped);
            }
            match serde_json::from_slice(&line) {
                Ok(record) => self.remember_what_was_read(record),
                Err(_) => skipped += 1,
            }
        }
    }

    /// How many records could not be written to the file since the start.
    pub fn unwritten(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many attempts there were since the start, through each door.
    pub fn attempts(&self) -> impl Iterator<Item = Attempts> {
        Door::ALL.into_iter().zip(self.applied.iter().zip(&self.refused)).map(|(door, (applied, refused))| {
            Attempts {
                door,
                applied: applied.load(Ordering::Relaxed),
                refused: refused.load(Ordering::Relaxed),
            }
        })
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<Record> {
        self.followers.subscribe()
    }

    /// Counts an attempt.
    pub(super) fn count(&self, door: Door, is_applied: bool) {
        let counts = if is_applied { &self.applied } else { &self.refused };
        if let Some(count) = counts.get(door as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts records that the file does not have, and returns how many there are.
    pub(super) fn count_unwritten(&self, records: u64) -> u64 {
        self.lost.fetch_add(records, Ordering::Relaxed) + records
    }

    /// A position after those of all records read.
    pub(super) fn position(&self) -> Position {
        Position(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Remembers a record at its position, and sends it to all followers. Replaces an earlier record at that
    /// position.
    pub(super) fn show(&self, position: Position, record: Record) {
        {
            let mut rooms = self.lock();
            let room = rooms.of(&record);
            match room.binary_search_by_key(&position, |(position, _)| *position) {
                Ok(at) => room[at].1 = record.clone(),
                Err(at) => room.insert(at, (position, record.clone())),
            }
            if room.len() > KEPT {
                room.pop_front();
            }
        }
        // Remembered first, so that a notified follower finds it there. Having no followers is no error.
        self.followers.send(record).ok();
    }

    /// The file has several lines for a repeated refusal, of which the last one counts.
    fn remember_what_was_read(&self, record: Record) {
        let position = self.position();
        let mut rooms = self.lock();
        let room = rooms.of(&record);
        if record.outcome != Outcome::Applied
            && let Some((_, known)) = room.iter_mut().rev().find(|(_, known)| known.begins_with(&record))
        {
            *known = record;
            return;
        }
        if room.len() == KEPT {
            room.pop_front();
        }
        room.push_back((position, record));
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // Nothing under this lock can panic halfway, so poisoned data is still complete.
        self.rooms.lock().unpoisoned()
    }
}

impl Rooms {
    fn of(&mut self, record: &Record) -> &mut Room {
        match record.outcome {
            Outcome::Applied => &mut self.applied,
            Outcome::Refused { .. } => &mut self.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn record(second: i64, outcome: Outcome) -> Record {
        Record {
            time: Timestamp::from_second(second).unwrap(),
            revision: 1,
            door: Door::Http.into(),
            actor: "somebody".into(),
            old: Some(1),
            new: Some(second),
            active: 0,
            outcome,
            count: None,
            last_time: None,
        }
    }

    fn refused() -> Outcome {
        Outcome::Refused { reason: "no".into() }
    }

    #[test]
    fn no_number_of_refusals_pushes_out_what_was_applied() {
        let history = History::default();
        let show = |second, outcome| history.show(history.position(), record(second, outcome));
        for second in 0..20 {
            show(second, Outcome::Applied);
        }
        for second in 20..5000 {
            show(second, refused());
        }
        show(5000, Outcome::Applied);
        for count in [1000, 50] {
            let latest = history.latest(count);
            let applied = latest.iter().filter(|record| record.outcome == Outcome::Applied).count();
            assert_eq!((latest.len(), applied), (count, 21), "{count}");
            assert!(latest.is_sorted_by(|newer, older| newer.time > older.time));
        }
        assert_eq!(history.latest(1), [record(5000, Outcome::Applied)]);
        let newest: Vec<_> = history.latest(10).iter().map(|record| record.new.unwrap()).collect();
        assert_eq!(newest, [5000, 4999, 4998, 4997, 4996, 4995, 19, 18, 17, 16]);
    }

    #[test]
    fn a_record_that_is_shown_late_is_where_it_belongs() {
        let history = History::default();
        let [first, second] = [history.position(), history.position()];
        history.show(second, record(2, Outcome::Applied));
        history.show(first, record(1, Outcome::Applied));
        assert_eq!(history.latest(9), [record(2, Outcome::Applied), record(1, Outcome::Applied)]);
    }

    #[test]
    fn a_record_of_a_door_that_this_version_does_not_have_is_kept_as_it_is() {
        let history = History::default();
        let line = serde_json::to_string(&record(1, Outcome::Applied)).unwrap().replace("http", "lease");
        assert_eq!(history.read(line.as_bytes()).unwrap(), 0);
        let [kept] = &history.latest(9)[..] else { panic!("one record was read") };
        assert_eq!((kept.door.known(), kept.door.to_string()), (None, "lease".to_owned()));
        assert_eq!(serde_json::to_string(kept).unwrap(), line);
    }

    #[test]
    fn of_a_repeated_refusal_the_last_line_of_the_file_counts() {
        let history = History::default();
        let again = |count| Record {
            count: Some(count),
            last_time: Some(Timestamp::from_second(9).unwrap()),
            ..record(1, refused())
        };
        let lines = [record(1, refused()), record(2, Outcome::Applied), again(2), again(40)]
            .map(|record| serde_json::to_string(&record).unwrap());
        assert_eq!(history.read(lines.join("\n").as_bytes()).unwrap(), 0);
        assert_eq!(history.latest(9), [record(2, Outcome::Applied), again(40)]);
    }
}
