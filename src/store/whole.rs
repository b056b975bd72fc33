//! Checks that the engine's files are all there, before the engine opens them.
//!
//! The engine treats missing files as never created: without its version it creates an empty store, without the version
//! of a keyspace an empty keyspace, and then it deletes the tables that nothing refers to any more. The store is
//! [created](super::engine) completely before it gets its name, so any missing file did exist.

use std::fs;
use std::io;
use std::path::Path;

use super::journal::reading::FORMAT;
use super::{EngineError, StoreError};

const VERSION: &str = "version";
const KEYSPACES: &str = "keyspaces";
const CURRENT: &str = "current";
const TABLES: &str = "tables";

/// The engine's own keyspace, which names the others, and that of all keys.
const OWN: &str = "0";
const KEYS: &str = "1";

/// The first bytes of the version.
const MAGIC: &[u8] = b"FJL";

/// Checks every part of an engine's folder, except for the journals.
///
/// # Errors
/// [`StoreError::Missing`] and [`StoreError::Format`].
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let version = folder.join(VERSION);
    let content = read(&version)?;
    match content.strip_prefix(MAGIC) {
        Some([FORMAT, ..]) => {}
        Some([found, ..]) => {
            return Err(StoreError::Format { path: version.into(), found: *found, known: FORMAT });
        }
        _ => return Err(StoreError::Unreadable { path: version.into() }),
    }
    for keyspace in [OWN, KEYS] {
        let folder = folder.join(KEYSPACES).join(keyspace);
        let current = folder.join(CURRENT);
        let content = read(&current)?;
        let Some(number) = content.first_chunk() else {
            return Err(StoreError::Unreadable { path: current.into() });
        };
        exists(&folder.join(format!("v{}", u64::from_le_bytes(*number))))?;
        exists(&folder.join(TABLES))?;
    }
    Ok(())
}

/// Whether the keyspace of all keys has tables. If that cannot be determined, the answer is yes.
pub(super) fn has_tables(folder: &Path) -> bool {
    let tables = fs::read_dir(folder.join(KEYSPACES).join(KEYS).join(TABLES));
    tables.map_or(true, |mut tables| tables.next().is_some())
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|error| missing_or(path, error))
}

fn exists(path: &Path) -> Result<(), StoreError> {
    fs::metadata(path).map(drop).map_err(|error| missing_or(path, error))
}

fn missing_or(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::Missing { path: path.into() },
        _ => EngineError::Disk(error).into(),
    }
}
