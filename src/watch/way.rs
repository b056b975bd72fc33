//! The way that the kernel walks to a file: which names it looks up, and in which directories.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links the kernel follows, see path_resolution(7).
const MOST_LINKS: usize = 40;

/// A walk along a path. Two walks are equal if they looked up the same names in the same directories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Way {
    steps: Vec<Step>,
}

/// One name, looked up in one directory. The directory is told apart by its inode too: one that was
/// removed and made again is another one, and needs another watch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    directory: PathBuf,
    identity: Option<(u64, u64)>,
    name: OsString,
}

impl Way {
    /// Walks to `path` as far as it leads.
    pub(super) fn to(path: &Path) -> Self {
        let mut steps = Vec::new();
        let mut at = PathBuf::from("/");
        let mut ahead = names(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let identity = fs::metadata(&at).ok().map(|directory| (directory.dev(), directory.ino()));
            let next = at.join(&name);
            steps.push(Step { directory: at.clone(), identity, name });
            match fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    ahead.extend(names(&target));
                }
                _ => at = next,
            }
        }
        Self { steps }
    }

    /// The paths of all names on the way: an event on any of them may change where it leads.
    pub(super) fn names(&self) -> HashSet<PathBuf> {
        self.steps.iter().map(|step| step.directory.join(&step.name)).collect()
    }

    /// The directories on the way that exist.
    pub(super) fn directories(&self) -> HashSet<&Path> {
        self.steps
            .iter()
            .filter(|step| step.identity.is_some())
            .map(|step| step.directory.as_path())
            .collect()
    }
}

/// The names of a path, the last one first, so that the next one can be popped.
fn names(path: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    names.reverse();
    names
}
