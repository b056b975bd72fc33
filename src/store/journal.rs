//! Repair of the engine's journals after a failed sync.
//!
//! When a sync fails, the kernel may drop the pages it could not write and call them clean: they
//! read back from memory, the next sync succeeds, and yet the disk has a hole. Whatever is
//! appended behind the hole would be lost with it. So nothing is ever appended to such a file:
//! what reads back is written to a new file, that one is synced, and takes the old one's place.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

const EXTENSION: &str = "jnl";
const TEMPORARY: &str = "rewritten";

/// Writes every journal in `folder` anew. A crash at any moment leaves each either old or new.
pub(super) fn rewrite_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            rewrite(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}

fn rewrite(path: &Path) -> io::Result<()> {
    let content = fs::read(path)?;
    // Journals are made larger than they are, and every entry ends in a mark that is not zero.
    let len = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let temporary = path.with_extension(TEMPORARY);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content.get(..len).unwrap_or_default())?;
        file.sync_all()
    });
    match written {
        Ok(()) => fs::rename(&temporary, path),
        Err(error) => {
            // On a full disk the half-written file would only be in the way.
            fs::remove_file(&temporary)?;
            Err(error)
        }
    }
}
