//! The path by which the kernel reaches a file: which names it looks up, and in which directories.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links the kernel follows, see path_resolution(7).
const MOST_LINKS: usize = 40;

/// A walk along a path. Two walks are equal if they looked up the same names in the same directories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResolvedPath {
    steps: Vec<Step>,
    end: PathBuf,
}

/// One name, looked up in one directory. The inode is part of the directory's identity: a mount over it makes it
/// another one, which needs another watch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    directory: PathBuf,
    identity: Option<(u64, u64)>,
    name: OsString,
}

impl ResolvedPath {
    /// Walks to `path`, which is absolute, as far as it exists.
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
        Self { steps, end: at }
    }

    /// Every name on the path with the directory it is looked up in: a change of any of them may change the end of the
    /// path.
    pub(super) fn steps(&self) -> impl DoubleEndedIterator<Item = (&Path, &OsStr)> {
        self.steps.iter().map(|step| (step.directory.as_path(), step.name.as_os_str()))
    }

    /// The end of the path: the file's path without symbolic links, whether or not it exists.
    pub(super) fn end(&self) -> &Path {
        &self.end
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
