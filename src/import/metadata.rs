//! `metadata.json`: the spaces.
//!
//! A list of spaces, or an object of spaces by name; either may be in a field `spaces`. A space is
//! an object with `name` (or `space`; in an object by name it may be left out), `engine_type` (or
//! `engine`, `type`; left out, `key-value`) and `enable_wal` (or `wal`; left out, `true`). In a list
//! it may be its name alone, in an object its engine alone.

use serde_json::Value;

use super::json::{self, Document};
use super::{LeftOut, SourceError};

/// A key-value space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSpace {
    /// Its name.
    pub name: String,
    /// Whether its writes are as durable as the server's.
    pub wal: bool,
}

/// The key-value spaces in the file. Those of other engines go to `left_out`.
pub(super) fn find(file: &Document, left_out: &mut Vec<LeftOut>) -> Result<Vec<FoundSpace>, SourceError> {
    let mut spaces: Vec<FoundSpace> = Vec::new();
    for (number, item) in file.items("spaces")?.into_iter().enumerate() {
        let (name, engine, wal) = match (item.value, item.name) {
            (Value::Object(fields), key) => (
                json::text(fields, &["name", "space", "spacename"]).or(key),
                json::field(fields, &["enginetype", "engine", "type"]),
                json::field(fields, &["enablewal", "wal", "walenabled"]).and_then(Value::as_bool),
            ),
            (Value::String(name), None) => (Some(name.as_str()), None, None),
            (engine, Some(name)) => (Some(name), Some(engine), None),
            _ => (None, None, None),
        };
        let Some(name) = name else {
            let why = "it has no name";
            left_out.push(LeftOut {
                what: format!("space number {} of metadata.json", number + 1),
                why: why.into(),
            });
            continue;
        };
        match engine.map(|engine| engine.as_str().map(json::plain)) {
            None => {}
            Some(Some(engine)) if matches!(engine.as_str(), "keyvalue" | "kv" | "") => {}
            Some(Some(engine)) if engine == "vector" => {
                left_out.push(LeftOut::space(name, "vector spaces are not supported"));
                continue;
            }
            Some(_) => {
                let engine = engine.map(ToString::to_string).unwrap_or_default();
                left_out.push(LeftOut::space(name, format!("unknown engine {engine}")));
                continue;
            }
        }
        if spaces.iter().all(|space| space.name != name) {
            spaces.push(FoundSpace { name: name.to_owned(), wal: wal.unwrap_or(true) });
        }
    }
    Ok(spaces)
}
