//! How much must be read before a store is open.

use std::fs;
use std::io;
use std::path::Path;

use super::{engine, journal};

/// The engine's folder of keyspaces, and each one's folder of tables.
const KEYSPACES: &str = "keyspaces";
const TABLES: &str = "tables";

/// The content of a store, as far as its files show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnDiskSize {
    /// Bytes of journals. They are read twice: for the check, and for the replay.
    pub journals: u64,
    /// The number of tables. A little of each is read.
    pub tables: usize,
}

impl OnDiskSize {
    /// The size of the store in a data directory. It may be open, or being opened.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let folder = engine::folder(dir);
        // Journal files are larger than their content.
        let mut size = Self { journals: journal::size(&folder)?, tables: 0 };
        for keyspace in fs::read_dir(folder.join(KEYSPACES))? {
            size.tables += fs::read_dir(keyspace?.path().join(TABLES))?.count();
        }
        Ok(size)
    }
}
