//! Failures of the disk on request, and power failures: `disk.c`, preloaded into the server.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::writers::Dice;
use crate::harness::{Setup, skipped, wait_until};

/// The unit that is lost or kept as a whole.
const PAGE: usize = 4096;

/// The operations that a hanging disk does not complete.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stalled {
    Reads,
    Syncs,
}

static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

pub(crate) struct Disk {
    directory: TempDir,
    /// The synced length of each journal at the start of the server.
    before: HashMap<String, usize>,
}

impl Disk {
    /// The disk, and the setup of a server on it; `None`, with the reason printed, if that is impossible.
    pub(crate) fn under(setup: Setup) -> Option<(Self, Setup)> {
        let library = match LIBRARY.get_or_init(compile) {
            Ok(library) => library,
            Err(reason) => {
                skipped(reason);
                return None;
            }
        };
        let disk = Self { directory: tempfile::tempdir().unwrap(), before: HashMap::new() };
        let setup = setup
            .env("LD_PRELOAD", library.to_str().unwrap())
            .env("DISK_FAILS", disk.fails().to_str().unwrap())
            .env("DISK_HANGS", disk.hangs().to_str().unwrap())
            .env("DISK_SYNCED", disk.synced().to_str().unwrap())
            .env("DISK_STALLS_READS", disk.stalls(Stalled::Reads).to_str().unwrap())
            .env("DISK_STALLS_SYNCS", disk.stalls(Stalled::Syncs).to_str().unwrap());
        Some((disk, setup))
    }

    /// From now on every sync fails, or none does.
    pub(crate) fn fail(&self, fail: bool) {
        if fail { fs::write(self.fails(), "").unwrap() } else { fs::remove_file(self.fails()).unwrap() }
    }

    /// From now on no read of a table, or no sync, completes.
    pub(crate) fn stall(&self, what: Stalled) {
        fs::write(self.stalls(what), "").unwrap();
    }

    /// Waits until such an operation has begun since then.
    pub(crate) fn wait_until_stalled(&self, what: Stalled) {
        let told = self.stalls(what).with_extension("stalled");
        wait_until("the disk is used", || told.exists());
    }

    /// Lets them complete.
    pub(crate) fn go_on(&self, what: Stalled) {
        fs::remove_file(self.stalls(what)).unwrap();
    }

    /// Removes from the journals what a power failure could: any pages after the last sync, and often all
    /// after some page. The server must be dead. Returns the number of lost bytes.
    pub(crate) fn power_failure(&mut self, data_dir: &Path, dice: &mut Dice) -> usize {
        let mut synced = std::mem::take(&mut self.before);
        let log = fs::read_to_string(self.synced()).unwrap_or_default();
        for (end, name) in log.lines().map(|line| line.split_once(' ').unwrap()) {
            let end: usize = end.parse().unwrap();
            let known = synced.entry(name.to_owned()).or_default();
            *known = end.max(*known);
        }
        fs::write(self.synced(), "").unwrap();
        let mut gone = 0;
        for entry in fs::read_dir(data_dir.join("store")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "jnl") {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut content = fs::read(&path).unwrap();
            let end = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let synced = synced.remove(&name).unwrap_or(0).min(end);
            // The kernel may have written part of the rest already, in whole pages.
            let pages: Vec<_> = (synced / PAGE..end.div_ceil(PAGE)).collect();
            let written = dice.below(pages.len() as u64 + 1);
            let few = dice.below(2) == 0;
            for (page, number) in pages.into_iter().zip(0..) {
                if number >= written || (few && dice.below(4) == 0) {
                    let lost = (page * PAGE).max(synced)..((page + 1) * PAGE).min(end);
                    gone += lost.len();
                    content[lost].fill(0);
                }
            }
            fs::write(&path, &content).unwrap();
            let end = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            self.before.insert(name, end);
        }
        gone
    }

    fn stalls(&self, what: Stalled) -> PathBuf {
        self.directory.path().join(match what {
            Stalled::Reads => "reads",
            Stalled::Syncs => "syncs",
        })
    }

    /// Cuts off the unsynced part of the limit's history. The server must be dead.
    pub(crate) fn cut_history(&self, data_dir: &Path) {
        const NAME: &str = "limit-history.jsonl";
        let log = fs::read_to_string(self.synced()).unwrap_or_default();
        let synced = log.lines().filter_map(|line| line.strip_suffix(NAME)?.trim_end().parse().ok()).max();
        let file = fs::OpenOptions::new().write(true).open(data_dir.join(NAME)).unwrap();
        file.set_len(synced.unwrap_or(0)).unwrap();
    }

    /// From now on no sync of the limit's files returns.
    pub(crate) fn hang(&self) {
        fs::write(self.hangs(), "").unwrap();
    }

    fn hangs(&self) -> PathBuf {
        self.directory.path().join("hangs")
    }

    fn fails(&self) -> PathBuf {
        self.directory.path().join("fails")
    }

    fn synced(&self) -> PathBuf {
        self.directory.path().join("synced")
    }
}

fn compile() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = directory.join("disk.so");
    // Another run may be using the file: it is replaced, never written to.
    let made = tempfile::NamedTempFile::new_in(directory).map_err(|error| error.to_string())?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/crash/disk.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([made.path(), &source])
        .arg("-ldl")
        .output()
        .map_err(|error| format!("a disk that fails needs a C compiler: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("cannot compile disk.c: {said}"));
    }
    made.persist(&library).map_err(|error| error.to_string())?;
    Ok(library)
}
