//! Repair of the engine's journals, where the engine itself leaves off.
//!
//! # After a failed sync
//! When a sync fails, the kernel may drop the pages it could not write and call them clean: they
//! read back from memory, the next sync succeeds, and yet the disk has a hole. Whatever is
//! appended behind the hole would be lost with it. So nothing is ever appended to such a file:
//! what reads back is [written to a new file](rewrite_all), that one is synced, and takes the old
//! one's place.
//!
//! # After a power failure
//! Of what was written but not synced, any page may have reached the disk or not. The engine cuts
//! off a last batch that is not complete, but refuses to open if it is complete and holds a page
//! of zeros. [`cut_torn_end`] cuts that one off, too: nobody was told that it was stored. Damage
//! with an intact batch behind it is another matter, and left to the operator.
//!
//! # The format
//! A journal is a row of batches, and then perhaps zeros. Numbers are little-endian.
//!
//! | entry | tag | what follows |
//! |---|---|---|
//! | start | 1 | count of items (4), sequence number (8) |
//! | item | 2 | kind (1), compression (1), keyspace (8), key length (2), value length (4), length on disk (4), key, value |
//! | end | 3 | XXH3 of the items as written (8), `FJL` 3 |
//! | clear | 4 | keyspace (8); counts as an item |

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

const EXTENSION: &str = "jnl";
const TEMPORARY: &str = "rewritten";
const DAMAGED: &str = "damaged";
const TRAILER: &[u8] = b"FJL\x03";

/// Writes every journal in `folder` anew. A crash at any moment leaves each either old or new.
pub(super) fn rewrite_all(folder: &Path) -> io::Result<()> {
    for (_, path) in journals(folder)? {
        let content = fs::read(&path)?;
        // Journals are made larger than they are, and every batch ends in a mark that is not zero.
        let len = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        replace(&path, content.get(..len).unwrap_or_default())?;
    }
    sync_folder(folder)
}

/// Cuts off what a power failure has left of the last batch of the newest journal, and keeps the
/// journal as it was beside it. Says whether there was anything to cut.
pub(super) fn cut_torn_end(folder: &Path) -> io::Result<bool> {
    let Some((_, path)) = journals(folder)?.pop() else { return Ok(false) };
    let content = fs::read(&path)?;
    let intact = intact_len(&content);
    let Some(rest) = content.get(intact..).filter(|rest| !has_intact_batch(rest)) else { return Ok(false) };
    if rest.iter().all(|&byte| byte == 0) {
        return Ok(false);
    }
    let kept = path.with_extension(DAMAGED);
    fs::copy(&path, &kept)?;
    File::open(&kept)?.sync_all()?;
    replace(&path, content.get(..intact).unwrap_or_default())?;
    sync_folder(folder)?;
    tracing::warn!(
        kept = %kept.display(),
        "cut off the end of the journal, which was not acknowledged and not completely written",
    );
    Ok(true)
}

/// The journals in `folder`, oldest first.
fn journals(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == EXTENSION)
        {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

/// Puts a new file with `content` in place of `path`.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
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

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// How many bytes at the beginning are intact batches.
fn intact_len(journal: &[u8]) -> usize {
    let mut len = 0;
    while let Some(batch) = journal.get(len..).and_then(intact_batch) {
        len += batch;
    }
    len
}

/// Whether an intact batch begins anywhere.
fn has_intact_batch(bytes: &[u8]) -> bool {
    memchr::memchr_iter(1, bytes).any(|start| bytes.get(start..).and_then(intact_batch).is_some())
}

/// The length of the batch that `bytes` begins with, if it is intact.
fn intact_batch(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader { bytes, pos: 0 };
    if reader.number::<1>()? != 1 {
        return None;
    }
    let items = reader.number::<4>()?;
    reader.take(8)?;
    let mut checksum = Xxh3Default::new();
    for _ in 0..items {
        let start = reader.pos;
        match reader.number::<1>()? {
            2 => {
                reader.take(1 + 1 + 8)?;
                let key = reader.number::<2>()?;
                reader.take(4)?;
                let value = reader.number::<4>()?;
                reader.take(usize::try_from(key + value).ok()?)?;
            }
            4 => drop(reader.take(8)?),
            _ => return None,
        }
        checksum.update(bytes.get(start..reader.pos)?);
    }
    let intact = reader.number::<1>()? == 3
        && reader.number::<8>()? == checksum.digest()
        && reader.take(4)? == TRAILER;
    intact.then_some(reader.pos)
}

struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.pos.checked_add(len)?;
        let taken = self.bytes.get(self.pos..end)?;
        self.pos = end;
        Some(taken)
    }

    fn number<const LEN: usize>(&mut self) -> Option<u64> {
        Some(self.take(LEN)?.iter().rfold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}
