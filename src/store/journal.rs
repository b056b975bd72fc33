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
//! Of what was written but not synced, any page may have reached the disk or not, in any order.
//! Left alone, the engine would cut such a journal off at the first hole or refuse to open it,
//! depending on where in a batch the hole begins; and it would cut just the same if the disk had
//! damaged what was synced long ago. So [`cut_torn_end`] looks before the engine does. What it has
//! to know, the batches tell: one that was written while something before it was not synced yet
//! carries a [mark](layout::UNSYNCED_KEY). A batch without it says that all before it was on disk:
//! damage before such a one is real, and left to the operator. Anything else is cut off from the
//! damage on: nobody was told that it would last.
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
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use xxhash_rust::xxh3::Xxh3Default;

use super::{StoreError, layout};

const EXTENSION: &str = "jnl";
const TEMPORARY: &str = "rewritten";
const CUT_OFF: &str = "cut-off";
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

/// How many bytes of room [`rewrite_all`] needs beside what is there.
pub(super) fn room_to_rewrite(folder: &Path) -> io::Result<u64> {
    let sizes = journals(folder)?.into_iter().map(|(_, path)| data_len(&File::open(path)?));
    sizes.collect::<io::Result<Vec<_>>>().map(|sizes| sizes.into_iter().max().unwrap_or(0))
}

/// Cuts off what a power failure has left of what was not synced, and keeps that in a file beside the
/// journal. The engine must be closed.
///
/// # Errors
/// [`StoreError::JournalDamaged`] if something that was synced cannot be read.
pub(super) fn cut_torn_end(folder: &Path) -> Result<(), StoreError> {
    let journals = journals(folder).map_err(fjall::Error::from)?;
    for (index, (_, path)) in journals.iter().enumerate() {
        let content = read(path).map_err(fjall::Error::from)?;
        let intact = intact_len(&content);
        let rest = content.get(intact..).unwrap_or_default();
        if rest.iter().all(|&byte| byte == 0) {
            continue;
        }
        // The engine syncs a journal before it begins the next.
        if index + 1 < journals.len() || proves_a_sync(rest) {
            return Err(StoreError::JournalDamaged { path: path.as_path().into(), intact });
        }
        cut(path, intact, rest).and_then(|()| sync_folder(folder)).map_err(fjall::Error::from)?;
    }
    Ok(())
}

fn cut(journal: &Path, intact: usize, rest: &[u8]) -> io::Result<()> {
    let kept = journal.with_extension(CUT_OFF);
    if let Err(error) = fs::write(&kept, rest) {
        // On a full disk the store must open all the same.
        tracing::warn!(%error, file = %kept.display(), "cannot keep what is cut off the journal");
        drop(fs::remove_file(&kept));
    }
    let file = File::options().write(true).open(journal)?;
    file.set_len(intact as u64)?;
    file.sync_all()?;
    tracing::warn!(
        journal = %journal.display(),
        intact,
        kept = %kept.display(),
        "cut off the end of the journal: a crash came before it was synced, and not all of it was written",
    );
    Ok(())
}

/// What a journal holds, without the zeros at its end that take no place on the disk: journals are made
/// larger than they are.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = data_len(&file)?;
    seek(&file, SeekFrom::Start(0))?;
    let mut content = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(len).read_to_end(&mut content)?;
    Ok(content)
}

/// Where the last data of the file end, in bytes.
fn data_len(file: &File) -> io::Result<u64> {
    let mut len = 0;
    loop {
        len = match seek(file, SeekFrom::Data(len)).and_then(|data| seek(file, SeekFrom::Hole(data))) {
            Ok(hole) => hole,
            // There is none behind.
            Err(Errno::NXIO) => return Ok(len),
            // The file system does not say.
            Err(_) => return Ok(file.metadata()?.len()),
        };
    }
}

/// The journals in `folder`, oldest first.
pub(super) fn journals(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
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
        len += batch.len;
    }
    len
}

/// Whether an intact batch without the mark begins anywhere.
fn proves_a_sync(bytes: &[u8]) -> bool {
    memchr::memchr_iter(1, bytes)
        .filter_map(|start| bytes.get(start..).and_then(intact_batch))
        .any(|batch| !batch.marked)
}

struct Batch {
    len: usize,
    /// Something before it was not synced yet when it was written.
    marked: bool,
}

/// The batch that `bytes` begins with, if it is intact.
fn intact_batch(bytes: &[u8]) -> Option<Batch> {
    let mut reader = Reader { bytes, pos: 0 };
    if reader.number::<1>()? != 1 {
        return None;
    }
    let items = reader.number::<4>()?;
    reader.take(8)?;
    let mut checksum = Xxh3Default::new();
    let mut marked = false;
    for _ in 0..items {
        let start = reader.pos;
        match reader.number::<1>()? {
            2 => {
                reader.take(1 + 1 + 8)?;
                let key = reader.number::<2>()?;
                reader.take(4)?;
                let value = reader.number::<4>()?;
                marked |= reader.take(usize::try_from(key).ok()?)? == layout::UNSYNCED_KEY;
                reader.take(usize::try_from(value).ok()?)?;
            }
            4 => drop(reader.take(8)?),
            _ => return None,
        }
        checksum.update(bytes.get(start..reader.pos)?);
    }
    let intact = reader.number::<1>()? == 3
        && reader.number::<8>()? == checksum.digest()
        && reader.take(4)? == TRAILER;
    intact.then_some(Batch { len: reader.pos, marked })
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
