//! Repairs the engine's journals in cases that the engine does not handle.
//!
//! # After a failed sync
//! When a sync fails, the kernel may drop the pages it could not write and call them clean: they read back from memory,
//! the next sync succeeds, and yet the disk has a hole. Anything appended behind the hole would be lost with it. So
//! nothing is ever appended to such a file: the readable content is [written to a new file](rewrite_all), which is
//! synced and takes the old one's place.
//!
//! # After a power failure
//! Of what was written but not synced, any page may have reached the disk or not, in any order. The engine alone would
//! cut such a journal off at the first hole or refuse to open it, depending on where in a batch the hole begins; and it
//! would cut just the same if the disk had damaged what was synced long ago. So [`check`] runs before the engine opens
//! the journal. It relies on the commits: each carries a [mark](reading), which says whether everything before it was
//! synced when it was written. Damage before such a commit is real, and left to the operator. Anything else is cut off
//! from the damage on: no client was told that it is durable.
//!
//! # Missing journals
//! The engine treats a missing or empty journal as one that never existed: it continues with the content of the tables,
//! and counts from there as if nothing had been written since. So [`check`] compares the files with the [`manifest`],
//! and refuses a difference.

pub mod reading;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::manifest::{self, Facts, Journal};
use super::{EngineError, StoreError};
use reading::{FORMAT, Rest};

const EXTENSION: &str = "jnl";
const TEMPORARY: &str = "rewritten";
const CUT_OFF: &str = "cut-off";

/// The unit of [`MetadataExt::blocks`].
const BLOCK: u64 = 512;

/// Rewrites every journal in `folder`. A crash at any moment leaves each either old or new.
pub(super) fn rewrite_all(folder: &Path) -> io::Result<()> {
    for (_, path) in journals(folder)? {
        let content = fs::read(&path)?;
        // Journal files are larger than their content, and every batch ends in a marker that is not zero.
        let len = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        replace(&path, content.get(..len).unwrap_or_default())?;
    }
    sync_folder(folder)
}

/// How many bytes of free space [`rewrite_all`] needs.
pub(super) fn room_to_rewrite(folder: &Path) -> io::Result<u64> {
    let sizes = journals(folder)?.into_iter().map(|(_, path)| data_len(&File::open(path)?));
    sizes.collect::<io::Result<Vec<_>>>().map(|sizes| sizes.into_iter().max().unwrap_or(0))
}

/// Compares the journals with the manifest, and cuts off the remains of unsynced writes after a power failure; the
/// bytes cut off are kept in a file beside the journal. The engine must be closed.
///
/// Returns the newest journal. `known` is `None` for a store of the version that had no manifest.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::JournalUnreadable`] or [`StoreError::JournalDamaged`] if something that was
/// synced is missing or unreadable.
pub(super) fn check(folder: &Path, known: Option<&Facts>) -> Result<Option<Journal>, StoreError> {
    let journals = journals(folder).map_err(EngineError::Disk)?;
    check_complete(folder, &journals, known)?;
    let mut last = None;
    for (index, &(number, ref path)) in journals.iter().enumerate() {
        let content = read(path).map_err(EngineError::Disk)?;
        let reading = reading::read(&content, known.map(|known| &known.secret));
        // The engine syncs a journal before it begins the next.
        let is_sealed = index + 1 < journals.len();
        let begun = Journal { number, begun: true };
        let had_content = is_sealed || known.is_some_and(|known| known.journal == Some(begun));
        let damaged = || match reading.intact {
            0 => StoreError::JournalUnreadable { path: path.as_path().into(), manifest: manifest::NAME },
            intact => StoreError::JournalDamaged { path: path.as_path().into(), intact },
        };
        match reading.rest {
            Rest::Nothing if reading.intact == 0 && had_content && known.is_some() => return Err(damaged()),
            Rest::Nothing => {}
            Rest::Foreign(found) => {
                return Err(StoreError::Format { path: path.as_path().into(), found, known: FORMAT });
            }
            Rest::Torn if !is_sealed && (reading.intact > 0 || (!had_content && known.is_some())) => {
                let rest = content.get(reading.intact..).unwrap_or_default();
                cut(path, reading.intact, rest)
                    .and_then(|()| sync_folder(folder))
                    .map_err(EngineError::Disk)?;
            }
            Rest::Torn | Rest::Damaged => return Err(damaged()),
        }
        last = Some(Journal { number, begun: reading.intact > 0 });
    }
    Ok(last)
}

/// The engine numbers journals one after another, and deletes the oldest first.
fn check_complete(
    folder: &Path,
    journals: &[(u64, PathBuf)],
    known: Option<&Facts>,
) -> Result<(), StoreError> {
    let missing = |number: u64| {
        let path = folder.join(format!("{number}.{EXTENSION}"));
        Err(StoreError::JournalMissing { path: path.into(), manifest: manifest::NAME })
    };
    let numbers = journals.iter().map(|(number, _)| *number);
    for (number, next) in numbers.clone().zip(numbers.clone().skip(1)) {
        if number + 1 != next {
            return missing(number + 1);
        }
    }
    let newest = journals.last().map(|(number, _)| *number);
    match known {
        Some(Facts { journal: Some(known), .. }) if newest < Some(known.number) => missing(known.number),
        // A store that was never opened has no journal, and nothing written.
        None if newest.is_none() && super::whole::has_tables(folder) => missing(1),
        _ => Ok(()),
    }
}

fn cut(journal: &Path, intact: usize, rest: &[u8]) -> io::Result<()> {
    let kept = journal.with_extension(CUT_OFF);
    let mut whereabouts = format!("the removed bytes are kept in {}", kept.display());
    if let Err(error) = fs::write(&kept, rest) {
        // On a full disk the store must open all the same.
        whereabouts = format!("the removed bytes could not be kept in {}: {error}", kept.display());
        drop(fs::remove_file(&kept));
    }
    let file = File::options().write(true).open(journal)?;
    file.set_len(intact as u64)?;
    file.sync_all()?;
    tracing::warn!(
        journal = %journal.display(),
        intact,
        kept = %kept.display(),
        "the last write to the journal {} is incomplete: truncated at byte {intact}; the write was never \
         acknowledged; {whereabouts}",
        journal.display(),
    );
    Ok(())
}

/// The content of a journal, without the zeros at its end that take no space on the disk: journal files are larger than
/// their content.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let len = data_len(&file)?;
    seek(&file, SeekFrom::Start(0))?;
    let mut content = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(len).read_to_end(&mut content)?;
    Ok(content)
}

/// The end of the last data of the file, in bytes.
fn data_len(file: &File) -> io::Result<u64> {
    let mut len = 0;
    loop {
        len = match seek(file, SeekFrom::Data(len)).and_then(|data| seek(file, SeekFrom::Hole(data))) {
            Ok(hole) => hole,
            // There is no data behind.
            Err(Errno::NXIO) => return Ok(len),
            // The file system does not support the query.
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

/// The newest journal, and whether any of it is on the disk.
pub(super) fn newest(folder: &Path, known: Option<Journal>) -> io::Result<Option<Journal>> {
    let Some((number, path)) = journals(folder)?.pop() else { return Ok(None) };
    let begun = Journal { number, begun: true };
    if known == Some(begun) {
        return Ok(known);
    }
    let content = read(&path)?;
    // What was read of it may be only in memory.
    File::open(&path)?.sync_data()?;
    Ok(Some(Journal { number, begun: reading::begins_with_a_batch(&content) }))
}

/// How many bytes the journals take on the disk.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let sizes = journals(folder)?.into_iter().map(|(_, path)| Ok(path.metadata()?.blocks() * BLOCK));
    sizes.sum()
}

/// Makes sure that the newest journal is empty, if there are any.
pub(super) fn begin(folder: &Path) -> io::Result<Option<Journal>> {
    let Some((newest, path)) = journals(folder)?.pop() else { return Ok(None) };
    if path.metadata()?.len() == 0 {
        // Left by an interrupted attempt.
        return Ok(Some(Journal { number: newest, begun: false }));
    }
    let journal = Journal { number: newest + 1, begun: false };
    let file = File::create_new(folder.join(format!("{}.{EXTENSION}", journal.number)))?;
    file.sync_all()?;
    sync_folder(folder)?;
    Ok(Some(journal))
}

/// Removes all journals before `number`, the oldest first, so that no gap is left after a crash.
pub(super) fn remove_before(folder: &Path, number: u64) -> io::Result<()> {
    for (_, path) in journals(folder)?.into_iter().filter(|(older, _)| *older < number) {
        fs::remove_file(path)?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// Replaces `path` with a new file that holds `content`.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => fs::rename(&temporary, path),
        Err(error) => {
            // On a full disk a half-written file would only take space.
            fs::remove_file(&temporary)?;
            Err(error)
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
