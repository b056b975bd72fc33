//! How much there is to be read before a store is open.

use std::fs;
use std::io;
use std::path::Path;

use super::{engine, journal};

/// Where the engine keeps its keyspaces, and each its tables.
const KEYSPACES: &str = "keyspaces";
const TABLES: &str = "tables";

/// What a store consists of, as far as its files tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnDiskSize {
    /// Bytes of journals. They are read twice: checked, and replayed.
    pub journals: u64,
    /// Tables. Of each a little is read.
    pub tables: usize,
}

impl OnDiskSize {
    /// That of the store in a data directory. It may be open, or being opened.
    ///
    /// # Errors
    /// There is none, or it cannot be looked at.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let folder = engine::folder(dir);
        // Journals are made larger than they are.
        let mut size = Self { journals: journal::size(&folder)?, tables: 0 };
        for keyspace in fs::read_dir(folder.join(KEYSPACES))? {
            size.tables += fs::read_dir(keyspace?.path().join(TABLES))?.count();
        }
        Ok(size)
    }
}
