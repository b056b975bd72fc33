//! A disk that stands still when it is told to: `disk.c`, preloaded into the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Setup, skipped};

/// Below which the server has its data, and nothing else that is of use.
pub(crate) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// The disk, and a server that is to run on it; or `None`, and the reason was told.
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

    /// From now on nothing on it returns, or everything does.
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
        // A server that waits for it is to end. It may not stand still.
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
