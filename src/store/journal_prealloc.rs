//! Room behind the end of the engine's journal that is already on the disk, as zeros.
//!
//! The engine creates its journal at full length, but as a hole. A sync of data written into a hole must also store
//! which blocks the file got: one more write, and on most file systems a commit of their own journal. Where zeros were
//! written before, that is not needed: on ext4 a lone sync then takes half the time, and 64 connections get a fifth
//! more done.
//!
//! Must never change the meaning of a journal: only the committing thread calls this, between two commits, and it
//! writes zeros only where zeros are read, within the file's length.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fs::{SeekFrom, seek};

use super::engine::{Bytes, Changes};
use super::journal;

/// How much is written ahead at a time, in bytes. The sync after that takes a little longer.
const CHUNK: usize = 256 << 10;

/// A commit larger than this, in bytes, takes long anyway.
const LARGEST_HELPED: usize = CHUNK / 4;

/// What the journal adds to a commit and to each change in it, at most.
const OVERHEAD: usize = 32;

/// The room ahead of one store's journal.
#[derive(Debug)]
pub(super) struct JournalPrealloc {
    /// The folder of the journals.
    folder: PathBuf,
    /// The bytes that are left, to the best of our knowledge.
    left: usize,
}

impl JournalPrealloc {
    /// No room yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, left: 0 }
    }

    /// Makes sure that there is room for a commit that will be synced, if it is small.
    pub(super) fn make_room_for(&mut self, changes: &Changes) {
        let size = |(key, value): &(Bytes, Option<Bytes>)| {
            OVERHEAD + key.len() + value.as_ref().map_or(0, |value| value.len())
        };
        let needed = OVERHEAD + changes.iter().map(size).sum::<usize>();
        if needed > LARGEST_HELPED {
            return;
        }
        if self.left < needed {
            // If this fails, the commit will fail too, or take longer. Not retried every time.
            self.left = CHUNK;
            if let Err(error) = self.extend() {
                tracing::debug!(%error, "cannot write ahead of the journal: {error}");
            }
        }
        self.left -= needed;
    }

    fn extend(&self) -> io::Result<()> {
        let Some((_, newest)) = journal::journals(&self.folder)?.pop() else { return Ok(()) };
        let file = File::options().read(true).write(true).open(newest)?;
        let hole = seek(&file, SeekFrom::Hole(0))?;
        // A journal that was found at the start has none: the engine extends it as it goes.
        let room = file.metadata()?.len().saturating_sub(hole);
        let mut ahead = vec![0; CHUNK.min(room.try_into().unwrap_or(CHUNK))];
        file.read_exact_at(&mut ahead, hole)?;
        // Some file systems turn written zeros into a hole; then there may be more data behind it.
        if ahead.iter().all(|&byte| byte == 0) {
            file.write_all_at(&ahead, hole)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::*;

    const LENGTH: u64 = 1 << 20;

    /// A journal as the engine creates it: `content`, then a hole.
    fn journal(path: &Path, content: &[u8], length: u64) {
        let mut file = File::create(path).unwrap();
        file.set_len(length).unwrap();
        file.write_all(content).unwrap();
        file.sync_all().unwrap();
    }

    fn change(bytes: usize) -> Changes {
        vec![(b"key".into(), Some(vec![1; bytes].into()))]
    }

    fn on_disk(path: &Path) -> u64 {
        File::open(path).unwrap().sync_all().unwrap();
        fs::metadata(path).unwrap().blocks() * 512
    }

    #[test]
    fn room_is_made_behind_the_end_of_the_newest_journal() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["9.jnl", "10.jnl"].map(|name| folder.path().join(name));
        journal(&old, b"sealed", LENGTH);
        journal(&new, &[7; 5000], LENGTH);
        let (old_before, before) = (on_disk(&old), on_disk(&new));
        let mut prealloc = JournalPrealloc::new(folder.path().into());
        prealloc.make_room_for(&change(100));
        assert!(on_disk(&new) >= before + CHUNK as u64, "{} after {before}", on_disk(&new));
        assert_eq!(on_disk(&old), old_before);
        let content = fs::read(&new).unwrap();
        assert_eq!(content.len() as u64, LENGTH);
        assert_eq!(content[..5000], [7; 5000]);
        assert!(content[5000..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn more_is_made_when_it_is_used_up_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        journal(&path, b"", LENGTH);
        let mut prealloc = JournalPrealloc::new(folder.path().into());
        prealloc.make_room_for(&change(1));
        let first = on_disk(&path);
        for _ in 0..CHUNK / LARGEST_HELPED {
            prealloc.make_room_for(&change(LARGEST_HELPED - 100));
        }
        assert_eq!(on_disk(&path), first);
        prealloc.make_room_for(&change(LARGEST_HELPED - 100));
        assert!(on_disk(&path) > first);
        for _ in 0..100 {
            prealloc.make_room_for(&change(LARGEST_HELPED - 100));
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), LENGTH, "never beyond the end");
    }

    #[test]
    fn a_journal_without_a_hole_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        journal(&path, &[7; 5000], 5000);
        JournalPrealloc::new(folder.path().into()).make_room_for(&change(100));
        assert_eq!(fs::read(&path).unwrap(), [7; 5000]);
    }

    #[test]
    fn a_large_commit_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        journal(&path, b"", LENGTH);
        JournalPrealloc::new(folder.path().into()).make_room_for(&change(LARGEST_HELPED));
        assert_eq!(on_disk(&path), 0);
    }
}
