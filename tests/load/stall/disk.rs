//! A disk that stalls on request: `disk.c`, preloaded into the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Setup, skipped};

/// The directory that contains only the server's data.
pub(crate) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// The disk, and the setup of a server on it; `None`, with the reason printed, if that is impossible.
    pub(crate) fn under(setup: Setup) -> Option<(Self, Setup)> {
        let directory = tempfile::tempdir().unwrap();
        let library = match compile(directory.path()) {
            Ok(library) => library,
            Err(reason) => {
                skipped(&reason);
                return None;
            }
        };
        let disk = directory.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let disk = Self { directory };
        let setup = setup
            .within(disk.path())
            .env("LD_PRELOAD", library.to_str().unwrap())
            .env("DISK", disk.path().to_str().unwrap())
            .env("DISK_HANGS", disk.hangs().to_str().unwrap());
        Some((disk, setup))
    }

    /// From now on calls on it block, or return again.
    pub(crate) fn hang(&self, hang: bool) {
        if hang { fs::write(self.hangs(), "").unwrap() } else { fs::remove_file(self.hangs()).unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn hangs(&self) -> PathBuf {
        self.directory.path().join("hangs")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lets a server that waits for the disk end.
        fs::remove_file(self.hangs()).ok();
    }
}

fn compile(directory: &Path) -> Result<PathBuf, String> {
    let library = directory.join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/stall/disk.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .map_err(|error| format!("a disk that stands still needs a C compiler: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(library) } else { Err(format!("cannot compile disk.c: {said}")) }
}
