//! JSON whose exact shape is undocumented: lists or objects by name, and fields whose
//! names are compared without case, `_` and `-`, so that `engine_type` is `EngineType`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::SourceError;

/// A file as it was read.
pub(super) struct Document {
    path: PathBuf,
    value: Value,
}

/// One item of a list or of an object by name.
pub(super) struct Item<'a> {
    /// Its name in the object.
    pub(super) name: Option<&'a str>,
    /// The item itself.
    pub(super) value: &'a Value,
}

/// Reads a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Document>, SourceError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SourceError::file(path)(error)),
    };
    Document::parse(path, BufReader::new(file)).map(Some)
}

impl Document {
    /// Reads a text, with `path` as its name.
    pub(super) fn parse(path: &Path, text: impl Read) -> Result<Self, SourceError> {
        match serde_json::from_reader(text) {
            Ok(value) => Ok(Self { path: path.into(), value }),
            Err(error) => Err(SourceError::Content { path: path.into(), reason: error.to_string() }),
        }
    }

    /// The items of a list, or of an object by name. They may be one level
    /// deeper, in a field called `wrapper`.
    pub(super) fn items(&self, wrapper: &str) -> Result<Vec<Item<'_>>, SourceError> {
        let whole = &self.value;
        let inner = match whole {
            Value::Object(fields) => field(fields, &[wrapper]).unwrap_or(whole),
            _ => whole,
        };
        match inner {
            Value::Array(items) => Ok(items.iter().map(|value| Item { name: None, value }).collect()),
            Value::Object(items) => {
                Ok(items.iter().map(|(name, value)| Item { name: Some(name), value }).collect())
            }
            // A Go program writes this for an empty list.
            Value::Null => Ok(Vec::new()),
            _ => Err(SourceError::Content {
                path: self.path.clone(),
                reason: format!("expected a list of {wrapper}, or an object of them by name"),
            }),
        }
    }
}

/// The field with one of these names, given in lower case without `_` and `-`.
pub(super) fn field<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| fields.iter().find(|(key, _)| plain(key) == *name)).map(|(_, value)| value)
}

/// The field's text, if it is one.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    field(fields, names).and_then(Value::as_str)
}

/// A word without its case, `_` and `-`.
pub(super) fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}
