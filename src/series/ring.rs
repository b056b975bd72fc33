//! The samples of the last hour on the disk, so that they survive a restart: `<data>/series`.
//!
//! The file is a ring with a slot for each of the [`KEPT`] seconds. Each sample overwrites the one of an hour before,
//! and has its own checksum. So the file never grows, a sample needs no space on a full disk, and a torn write costs
//! one sample. The file is not synced: a killed process loses no sample, a loss of power costs the last seconds. A
//! damaged file never prevents a start: the series then begins without the damaged samples.
//!
//! Each start writes the whole file from the samples that it has read. It overwrites a file of the right size in
//! place, which works on a full disk; otherwise it writes a new file under a temporary name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::{KEPT, Sample, Series};
use crate::private;

/// The file's name in the data directory, and its temporary name.
const NAME: &str = "series";
const NEW: &str = "series.new";

/// The bytes of a slot: a sample and its checksum.
const SLOT: usize = 40;
const SAMPLE: usize = SLOT - size_of::<u64>();

/// The header of the file, as long as a slot. A new layout gets a new number.
const MAGIC: &[u8; SLOT] = b"shibudb series 1\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The size of the file: always the same.
const SIZE: usize = SLOT * (1 + KEPT as usize);

/// How often new samples are written.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often a file that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How often to check whether the file is still there.
const LOOK: Duration = Duration::from_secs(60);

/// Writes the series to the disk, on a thread of its own. There is one.
#[derive(Debug)]
pub struct Keeper {
    over: Sender<()>,
    thread: JoinHandle<()>,
}

/// The samples that an earlier process wrote in the hour before `now`, oldest first. Logs damage, and skips damaged
/// samples. Waits for the disk.
pub fn read(data_dir: &Path, now: Timestamp) -> Vec<Sample> {
    let path = data_dir.join(NAME);
    let bytes = match private::read_up_to(&path, SIZE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(),
                "cannot read the last hour's samples from {}: {error}; starting a new series", path.display());
            return Vec::new();
        }
    };
    let Some((samples, damaged)) = parse(&bytes) else {
        tracing::warn!(path = %path.display(),
            "{} does not hold the last hour's samples, or is damaged; starting a new series", path.display());
        return Vec::new();
    };
    if damaged > 0 {
        tracing::warn!(path = %path.display(), damaged,
            "skipped {damaged} damaged samples of the last hour in {}", path.display());
    }
    let oldest = now.as_second() - i64::from(KEPT);
    samples.into_iter().filter(|sample| sample.second > oldest).collect()
}

impl Keeper {
    /// Begins to write `series`, and whatever is added to it, into this directory.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(data_dir: &Path, series: Series) -> io::Result<Self> {
        let (over, is_over) = mpsc::channel();
        let ring = Ring::new(data_dir);
        let thread =
            thread::Builder::new().name("series".into()).spawn(move || ring.keep(&series, &is_over))?;
        Ok(Self { over, thread })
    }

    /// Writes the remaining samples, and ends the thread. Waits for the disk.
    pub fn end(self) {
        let Self { over, thread } = self;
        drop(over);
        if thread.join().is_err() {
            tracing::error!("the thread that keeps the series panicked");
        }
    }
}

/// The file as it is written.
struct Ring {
    path: PathBuf,
    new: PathBuf,
    /// The open file, with the second of the newest sample in it; `None` before it is created and after a failure.
    file: Option<(File, i64)>,
}

impl Ring {
    fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(NAME), new: data_dir.join(NEW), file: None }
    }

    fn keep(mut self, series: &Series, is_over: &Receiver<()>) {
        let path = self.path.clone();
        let path = path.display();
        let mut failed: Option<Instant> = None;
        let mut looked = Instant::now();
        loop {
            let over = is_over.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            if over || failed.is_none_or(|failed| failed.elapsed() >= RETRY) {
                let is_due = over || looked.elapsed() >= LOOK;
                let seen = if is_due { self.look() } else { Ok(()) };
                if is_due {
                    looked = Instant::now();
                }
                failed = match (seen.and_then(|()| self.write(series)), failed) {
                    (Ok(()), None) => None,
                    (Ok(()), Some(_)) => {
                        tracing::info!(%path, "the samples of the last hour are stored in {path} again");
                        None
                    }
                    (Err(error), failed) => {
                        if failed.is_none() {
                            tracing::warn!(%path,
                                "cannot store the samples of the last hour in {path}: {error}; a restart would lose \
                                 them");
                        }
                        self.file = None;
                        Some(Instant::now())
                    }
                };
            }
            if over {
                return;
            }
        }
    }

    /// Writes the samples that are not in the file yet.
    fn write(&mut self, series: &Series) -> io::Result<()> {
        let Some(newest) = series.newest() else { return Ok(()) };
        match &mut self.file {
            // The clock was set back, so the series has dropped samples that are still in the file.
            Some((file, written)) if *written <= newest => {
                for sample in series.after(*written) {
                    file.write_all_at(&slot(&sample), (SLOT * place(&sample)) as u64)?;
                    *written = sample.second;
                }
            }
            _ => {
                let samples = series.last(KEPT);
                let Some(newest) = samples.last().map(|sample| sample.second) else { return Ok(()) };
                self.file = Some((self.make(&samples)?, newest));
            }
        }
        Ok(())
    }

    /// If the file was removed or replaced, the next write creates it anew.
    fn look(&mut self) -> io::Result<()> {
        if let Some((file, _)) = &self.file
            && !private::is_at(file, &self.path)?
        {
            self.file = None;
        }
        Ok(())
    }

    /// Writes the whole file: overwrites an existing series file, or replaces a file of any other kind.
    fn make(&self, samples: &[Sample]) -> io::Result<File> {
        let mut bytes = vec![0; SIZE];
        bytes[..SLOT].copy_from_slice(MAGIC);
        for sample in samples {
            bytes[SLOT * place(sample)..][..SLOT].copy_from_slice(&slot(sample));
        }
        if let Ok(file) = private::open(&self.path, private::options().write(true))
            && file.metadata()?.len() == SIZE as u64
        {
            file.write_all_at(&bytes, 0)?;
            return Ok(file);
        }
        // A killed process may have left a temporary file.
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = private::open(&self.new, private::options().write(true).create_new(true))?;
        file.write_all_at(&bytes, 0).and_then(|()| fs::rename(&self.new, &self.path)).inspect_err(|_| {
            // The temporary file would use space on a disk that may be full.
            fs::remove_file(&self.new).ok();
        })?;
        Ok(file)
    }
}

/// The slot of a sample; the first is the header of the file.
fn place(sample: &Sample) -> usize {
    // Less than KEPT, whatever the clock shows.
    usize::try_from(sample.second.rem_euclid(i64::from(KEPT))).unwrap_or_default() + 1
}

fn slot(sample: &Sample) -> [u8; SLOT] {
    let Sample { second, active, limit, accepted, rejected } = sample;
    let mut slot = [0; SLOT];
    let (numbers, sum) = slot.split_at_mut(SAMPLE);
    numbers[..8].copy_from_slice(&second.to_le_bytes());
    numbers[8..12].copy_from_slice(&active.to_le_bytes());
    numbers[12..16].copy_from_slice(&limit.to_le_bytes());
    numbers[16..24].copy_from_slice(&accepted.to_le_bytes());
    numbers[24..].copy_from_slice(&rejected.to_le_bytes());
    sum.copy_from_slice(&xxh3_64(numbers).to_le_bytes());
    slot
}

/// All samples of a file, oldest first, and the number of its damaged slots; `None` if it is not a series file.
fn parse(bytes: &[u8]) -> Option<(Vec<Sample>, usize)> {
    let slots = bytes.strip_prefix(MAGIC).filter(|_| bytes.len() == SIZE)?;
    let (slots, _) = slots.as_chunks::<SLOT>();
    let (mut samples, mut damaged) = (Vec::new(), 0);
    for (at, bytes) in slots.iter().enumerate().filter(|(_, bytes)| **bytes != [0; SLOT]) {
        match sample(bytes).filter(|sample| place(sample) == at + 1) {
            Some(sample) => samples.push(sample),
            None => damaged += 1,
        }
    }
    samples.sort_unstable_by_key(|sample| sample.second);
    Some((samples, damaged))
}

/// The sample in a slot; `None` if the checksum does not match.
fn sample(bytes: &[u8; SLOT]) -> Option<Sample> {
    let (second, rest) = bytes.split_first_chunk()?;
    let (active, rest) = rest.split_first_chunk()?;
    let (limit, rest) = rest.split_first_chunk()?;
    let (accepted, rest) = rest.split_first_chunk()?;
    let (rejected, sum) = rest.split_first_chunk()?;
    let sum: [u8; 8] = sum.try_into().ok()?;
    (u64::from_le_bytes(sum) == xxh3_64(&bytes[..SAMPLE])).then_some(Sample {
        second: i64::from_le_bytes(*second),
        active: u32::from_le_bytes(*active),
        limit: u32::from_le_bytes(*limit),
        accepted: u64::from_le_bytes(*accepted),
        rejected: u64::from_le_bytes(*rejected),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::series;
    use super::*;

    fn at(second: i64) -> Sample {
        Sample { second, active: 3, limit: 10, accepted: 1 << 40, rejected: u64::MAX }
    }

    fn now(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A file with these samples, as two consecutive processes leave it.
    fn written(directory: &Path, seconds: impl IntoIterator<Item = i64>) -> Vec<u8> {
        let (mut recorder, series) = series(Vec::new());
        let mut ring = Ring::new(directory);
        for second in seconds {
            recorder.record(at(second));
            ring.write(&series).unwrap();
        }
        fs::read(directory.join(NAME)).unwrap()
    }

    fn seconds(samples: &[Sample]) -> Vec<i64> {
        samples.iter().map(|sample| sample.second).collect()
    }

    #[test]
    fn what_was_written_is_read_with_its_gaps_and_for_an_hour() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path(), now(0)), []);
        written(directory.path(), (1..=2000).chain(3000..=5000));
        let samples = read(directory.path(), now(5000));
        assert_eq!(seconds(&samples), (1401..=2000).chain(3000..=5000).collect::<Vec<_>>());
        assert_eq!(samples[0], at(1401));
        assert_eq!(seconds(&read(directory.path(), now(8599))), [5000]);
        assert_eq!(read(directory.path(), now(9000)), []);
        let file = fs::metadata(directory.path().join(NAME)).unwrap();
        assert_eq!((file.len(), file.permissions().mode() & 0o777), (SIZE as u64, 0o600));
        assert!(!directory.path().join(NEW).exists());
    }

    #[test]
    fn a_clock_that_is_set_back_takes_the_future_out_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path(), (100..=200).chain(150..=151));
        assert_eq!(seconds(&read(directory.path(), now(200))), (100..=151).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let (mut recorder, series) = series(Vec::new());
        let mut ring = Ring::new(directory.path());
        let mut write = |second| {
            recorder.record(at(second));
            ring.look().and_then(|()| ring.write(&series)).unwrap();
            seconds(&read(directory.path(), now(second)))
        };
        assert_eq!(write(1), [1]);
        fs::remove_file(&path).unwrap();
        assert_eq!(write(2), [1, 2]);
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        fs::write(&path, "text").unwrap();
        assert_eq!(write(3), [1, 2, 3]);
    }

    #[test]
    fn damage_costs_what_is_damaged_and_never_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let whole = written(directory.path(), 1..=3000);
        // Overwritten by the next process, it has only the samples of the one before that it was given.
        let number = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = number(&directory.path().join(NAME));
        assert!(written(directory.path(), 1..=3000) == whole);
        assert_eq!(number(&directory.path().join(NAME)), before, "it needs no room");
        let path = directory.path().join(NAME);
        let left = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read(directory.path(), now(3000)).len()
        };
        assert_eq!(left(&whole), 3000);
        for bytes in [&whole[..SIZE - 1], &whole[..100], b"", &[whole.as_slice(), b"x"].concat(), &[7; SIZE]]
        {
            assert_eq!(left(bytes), 0);
        }
        // Each byte of a slot counts, and so does its position.
        for byte in 0..SLOT {
            let mut torn = whole.clone();
            torn[SLOT * 5 + byte] ^= 1;
            assert_eq!(left(&torn), 2999, "byte {byte}");
        }
        let mut moved = whole.clone();
        moved.copy_within(SLOT * 5..SLOT * 6, SLOT * 6);
        assert_eq!(left(&moved), 2999);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(read(directory.path(), now(3000)), []);
    }
}
