//! Reads every record, from memory and from the file, and checks them against the rules.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use shibudb::control::{Door, Outcome, Record};

use super::operators::{Told, request};
use super::scene::Scene;

/// Every record ever seen, in chronological order.
#[derive(Default)]
pub(crate) struct Chronicle(Mutex<BTreeMap<jiff::Timestamp, Record>>);

impl Chronicle {
    /// Reads the records in the server's memory: the last thousand.
    pub(crate) fn read_memory(&self, scene: &Scene) {
        let there = scene.whereabouts();
        match request(there, "GET", "/history?limit=1000", "") {
            Ok(answer) => {
                let Value::Array(changes) = answer.json["changes"].clone() else { panic!("no changes") };
                for change in changes {
                    self.add(serde_json::from_value(change).unwrap());
                }
            }
            Err(error) => assert!(scene.is_past(there.life), "GET /history: {error}"),
        }
    }

    /// Reads the records on the disk.
    pub(crate) fn read_file(&self, scene: &Scene) {
        let path = scene.server.read().unwrap().data_dir().join("limit-history.jsonl");
        for line in fs::read(path).unwrap().split(|&byte| byte == b'\n') {
            // A full disk or a kill leaves torn lines.
            if let Ok(record) = serde_json::from_slice(line) {
                self.add(record);
            }
        }
    }

    /// Reads the memory repeatedly, and checks the statistics for consistency.
    pub(crate) fn follow(&self, scene: &Scene) {
        while !scene.is_over() {
            self.read_memory(scene);
            for _ in 0..20 {
                look(scene);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn add(&self, record: Record) {
        let mut records = self.0.lock().unwrap();
        let known = records.entry(record.time).or_insert_with(|| record.clone());
        // Similar refusals increase the count of one record.
        if record.count > known.count {
            (known.count, known.last_time) = (record.count, record.last_time);
        }
        let record = Record { count: known.count, last_time: known.last_time, ..record };
        assert_eq!(*known, record, "two records of one instant, or one that was rewritten");
    }

    /// The limit before the last start, and the one after it.
    pub(crate) fn last_start(&self) -> (i64, i64) {
        let records = self.0.lock().unwrap();
        let mut applied = records.values().rev().filter(|record| record.outcome == Outcome::Applied);
        let start = applied.find(|record| record.door == Door::Startup).unwrap();
        let before = applied.next().unwrap();
        (before.new.unwrap(), start.new.unwrap())
    }

    /// One unbroken chain: revisions grow by one, every change begins with the result of the one before
    /// it, no change goes below the active connections, and the records match the answers.
    pub(crate) fn check(&self, told: &Told) -> usize {
        let records = self.0.lock().unwrap();
        let mut before: Option<(u64, i64)> = None;
        let mut applied = HashSet::new();
        let mut life = 0;
        let (mut http, mut cli) = ((0, 0), (0, 0));
        for record in records.values() {
            let new = record.new.unwrap();
            let (revision, limit) = before.unwrap_or((0, new));
            let starts = record.door == Door::Startup;
            life += u64::from(starts);
            if !starts {
                assert_eq!(record.old.map(i64::from), Some(limit), "after revision {revision}: {record:?}");
            }
            let door = match record.door.known() {
                Some(Door::Http) => &mut http,
                Some(Door::Cli) => &mut cli,
                _ => &mut (0, 0),
            };
            match &record.outcome {
                Outcome::Applied => {
                    assert_eq!(record.revision, revision + 1, "{record:?}");
                    assert!(new >= 1 && i64::from(record.active) <= new, "{record:?}");
                    applied.insert((life, record.revision, u64::try_from(new).unwrap()));
                    door.0 += 1;
                    before = Some((record.revision, new));
                }
                Outcome::Refused { .. } => {
                    assert_eq!(record.revision, revision, "{record:?}");
                    door.1 += record.count.unwrap_or(1);
                }
            }
        }
        for (told, (applied_there, refused_there)) in [(&told.http, http), (&told.cli, cli)] {
            let told = told.lock().unwrap();
            for change in &told.applied {
                assert!(applied.contains(change), "answered, and not in the history: {change:?}");
            }
            assert!(applied_there >= told.succeeded && refused_there >= told.refused);
            let (there, answered) = (applied_there + refused_there, told.succeeded + told.refused);
            assert!(
                (answered..=answered + told.unanswered).contains(&there),
                "{there} records, {answered} answered, {} unanswered",
                told.unanswered
            );
        }
        records.len()
    }
}

/// No statistics contradict themselves, and no client is admitted beyond the limit.
fn look(scene: &Scene) {
    let there = scene.whereabouts();
    match request(there, "GET", "/stats", "") {
        Ok(answer) => {
            let [active, limit, available] = ["active_connections", "max_connections", "available_slots"]
                .map(|field| answer.json[field].as_u64().unwrap());
            assert!(active <= limit, "{active} active with a limit of {limit}");
            assert_eq!(active + available, limit);
            scene.counts.add("looks at the statistics", 1);
            scene.counts.most("connections at once, at most", active);
        }
        Err(error) => assert!(scene.is_past(there.life), "GET /stats: {error}"),
    }
}
