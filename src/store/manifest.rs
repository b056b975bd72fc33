//! What the store must hold: a small file beside the engine's folder.
//!
//! The engine cannot tell a missing file from one that never existed. This file can: it exists from the first opening
//! on, and a start that finds less than it records is refused. It is replaced as a whole, synced, and never records
//! more than is on the disk:
//!
//! | moment | what comes first |
//! |---|---|
//! | a store is created | the engine's folder; without a manifest a store is [checked](super::whole) and adopted |
//! | a journal is begun | the journal, and a commit in it that is synced |
//! | the first administrator is created | its account |

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::OpenError;
use super::journal::reading::{SECRET_LEN, Secret};
use crate::private;
use crate::unpoisoned::Unpoisoned as _;

/// Its name in the data directory.
pub(super) const NAME: &str = "store.manifest";
const TEMPORARY: &str = "store.manifest.new";

const VERSION: u32 = 1;
const CHECKSUM: &str = "checksum = ";
const HEAD: &str =
    "# What the folder `store` holds. Written by shibudb; belongs into every backup of that folder.\n";

/// The manifest of an open store.
#[derive(Debug)]
pub(super) struct Manifest {
    dir: PathBuf,
    facts: Mutex<Facts>,
}

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Marks the commits of this store.
    pub(super) secret: Secret,
    /// The newest known journal. There may be newer ones, but no older one can be the newest.
    pub(super) journal: Option<Journal>,
    /// The data directory has an administrator, or has had one.
    pub(super) has_admin: bool,
}

/// A journal of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) number: u64,
    /// It holds something that was synced.
    pub(super) begun: bool,
}

/// The file's format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    secret: String,
    has_admin: bool,
    journal: Option<Journal>,
}

impl Facts {
    /// The facts about a new store.
    fn new() -> io::Result<Self> {
        let mut secret = [0; SECRET_LEN];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, journal: None, has_admin: false })
    }

    fn to_text(&self) -> io::Result<String> {
        let secret = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let Self { journal, has_admin, .. } = *self;
        let body = toml::to_string(&Written { version: VERSION, secret, has_admin, journal })
            .map_err(io::Error::other)?;
        let checksum = xxh3_64(body.as_bytes());
        Ok(format!("{HEAD}{CHECKSUM}\"{checksum:016x}\"\n{body}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(CHECKSUM)?;
        let (checksum, body) = rest.split_once('\n')?;
        if checksum != format!("\"{:016x}\"", xxh3_64(body.as_bytes())) {
            return None;
        }
        let Written { version, secret, has_admin, journal } = toml::from_str(body).ok()?;
        let secret: Option<Vec<_>> = (0..SECRET_LEN)
            .map(|byte| u8::from_str_radix(secret.get(2 * byte..2 * byte + 2)?, 16).ok())
            .collect();
        (version == VERSION).then_some(Self { secret: secret?.try_into().ok()?, journal, has_admin })
    }
}

/// Reads the manifest in `dir`, if there is one.
///
/// # Errors
/// It cannot be read.
pub(super) fn load(dir: &Path) -> Result<Option<Facts>, OpenError> {
    let path = dir.join(NAME);
    match private::read(&path) {
        Ok(content) => {
            let facts = str::from_utf8(&content).ok().and_then(Facts::parse);
            facts.map(Some).ok_or(OpenError::Manifest { path })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::NotUsable { path: dir.into(), source }),
    }
}

impl Manifest {
    /// The manifest of the store in `dir`, with the facts `known`.
    ///
    /// # Errors
    /// There is no randomness for a secret.
    pub(super) fn new(dir: &Path, known: Option<Facts>) -> io::Result<Self> {
        let facts = known.map_or_else(Facts::new, Ok)?;
        Ok(Self { dir: dir.into(), facts: Mutex::new(facts) })
    }

    pub(super) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Changes the facts, and returns once they are on the disk. Waits for the disk.
    ///
    /// # Errors
    /// It could not be written; then nothing is changed.
    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) -> io::Result<()> {
        let mut facts = self.lock();
        let mut changed = facts.clone();
        change(&mut changed);
        if changed != *facts || !self.dir.join(NAME).try_exists()? {
            write(&self.dir, &changed.to_text()?)?;
            *facts = changed;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unpoisoned()
    }
}

fn write(dir: &Path, text: &str) -> io::Result<()> {
    let temporary = dir.join(TEMPORARY);
    // A leftover file may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // No other user may learn the secret.
    let mut file = private::open(&temporary, private::options().write(true).create_new(true))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_back_and_nothing_else_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        let manifest = Manifest::new(dir.path(), None).unwrap();
        manifest.change(|_| {}).unwrap();
        for journal in [None, Some(Journal { number: 7, begun: true })] {
            manifest.change(|facts| (facts.journal, facts.has_admin) = (journal, journal.is_some())).unwrap();
            assert_eq!(load(dir.path()).unwrap(), Some(manifest.facts()));
        }
        let path = dir.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in [("number = 7", "number = 1"), ("true", "false"), (CHECKSUM, ""), (&text, "")] {
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert!(matches!(load(dir.path()), Err(OpenError::Manifest { .. })), "{from}");
        }
    }

    #[test]
    fn two_stores_have_two_secrets() {
        let [one, other] = [0; 2].map(|_| Facts::new().unwrap().secret);
        assert_ne!(one, other);
    }
}
