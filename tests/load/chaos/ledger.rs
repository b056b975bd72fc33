//! The answers that one writer got for its keys, and so the values that must be found.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(crate) const SPACE: &str = "chaos";
const KEYS: u64 = 12;

/// The number of the write of a key's value; `None` if the key is missing.
type Found = Option<u64>;

#[derive(Default)]
struct State {
    acknowledged: Found,
    /// Writes that were sent and not acknowledged. Each may have taken effect, or may still do so while the
    /// server that it was sent to is running.
    uncertain: Vec<Found>,
}

/// All keys of one writer. Only that writer writes to them.
pub(crate) struct Ledger {
    writer: u64,
    keys: BTreeMap<u64, State>,
    last: u64,
}

/// A write that was sent, until its outcome is known.
pub(crate) struct Sent {
    key: u64,
    wrote: Found,
    line: String,
}

impl Sent {
    /// The request as it is sent, line feed included.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn is_delete(&self) -> bool {
        self.wrote.is_none()
    }
}

impl Ledger {
    pub(crate) fn new(writer: u64) -> Self {
        Self { writer, keys: (0..KEYS).map(|key| (key, State::default())).collect(), last: 0 }
    }

    /// A write, noted as uncertain. Sizes differ, up to several pages.
    pub(crate) fn send(&mut self, dice: u64) -> Sent {
        self.last += 1;
        let key = dice % KEYS;
        let wrote = (!dice.is_multiple_of(7)).then_some(self.last);
        let name = self.name(key);
        let request = match wrote {
            Some(number) => {
                let padding = "x".repeat(usize::try_from(dice % 5000).unwrap());
                json!({"type": "PUT", "space": SPACE, "key": name, "value": format!("{number} {padding}")})
            }
            None => json!({"type": "DELETE", "space": SPACE, "key": name}),
        };
        self.keys.get_mut(&key).unwrap().uncertain.push(wrote);
        Sent { key, wrote, line: format!("{request}\n") }
    }

    /// Records that a write was acknowledged.
    pub(crate) fn acknowledge(&mut self, sent: &Sent) {
        let state = self.keys.get_mut(&sent.key).unwrap();
        state.acknowledged = sent.wrote;
        // Earlier ones on the same connection are complete, but one from another connection may still follow.
        if let Some(at) = state.uncertain.iter().position(|wrote| *wrote == sent.wrote) {
            state.uncertain.remove(at);
        }
    }

    /// Requests for all keys, in their order.
    pub(crate) fn lookups(&self) -> String {
        let line = |key| json!({"type": "GET", "space": SPACE, "key": self.name(key)}).to_string() + "\n";
        self.keys.keys().map(|&key| line(key)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Compares the answer to the lookup of the key at `position` with the permitted values. If no write can
    /// be in flight any more (`settled`), the value found is the only permitted one from now on.
    pub(crate) fn check(&mut self, position: usize, answer: &Value, settled: bool) {
        let (key, state) = self.keys.iter_mut().nth(position).unwrap();
        let found = match (answer["value"].as_str(), answer["message"].as_str()) {
            (Some(value), None) => Some(value.split(' ').next().unwrap().parse().unwrap()),
            (None, Some("key not found")) => None,
            _ => panic!("a lookup is answered with {answer}"),
        };
        assert!(
            found == state.acknowledged || state.uncertain.contains(&found),
            "writer {}, key {key}: found write {found:?}, but {:?} was acknowledged, and besides there were {:?}",
            self.writer,
            state.acknowledged,
            state.uncertain
        );
        if settled {
            state.acknowledged = found;
            state.uncertain.clear();
        }
    }

    fn name(&self, key: u64) -> String {
        format!("{}/{key}", self.writer)
    }
}
