//! A control group for each machine.
//!
//! Two machines in one control group would manage each other's units, since each uses the group in which
//! it is started as the root of its tree. Works on both layouts: one unified hierarchy, or systemd's named
//! one beside those of the controllers.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

const PREFIX: &str = "shibudb-test-";

/// A group in every hierarchy that systemd uses. Dropping it removes it, with all below it.
pub(crate) struct Cgroup {
    dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes the group for the `number`th machine of this process.
    pub(crate) fn new(number: u32) -> io::Result<Self> {
        let name = format!("{PREFIX}{}-{number}", process::id());
        let mut group = Self { dirs: Vec::new() };
        for hierarchy in hierarchies() {
            let dir = hierarchy.join(&name);
            fs::create_dir(&dir)?;
            group.dirs.push(dir);
        }
        Ok(group)
    }

    /// Shell commands that move the shell itself into the group.
    pub(crate) fn enter_script(&self) -> String {
        self.dirs.iter().map(|dir| format!("echo $$ >{}/cgroup.procs && ", dir.display())).collect()
    }

    /// Removes leftovers of killed test runs.
    pub(crate) fn sweep() {
        for entry in hierarchies().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove(&entry.path());
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.dirs.iter().for_each(|dir| remove(dir));
    }
}

fn hierarchies() -> impl Iterator<Item = &'static Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(Path::new)
        .filter(|dir| dir.join("cgroup.procs").exists())
}

/// Removes a group, its children first. A group that still contains a process stays.
fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(dir).ok();
}
