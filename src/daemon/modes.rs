//! Keeps other users out of the files in the data directory.
//!
//! New files are made for their owner alone. Files from an earlier version or a restored backup are corrected at
//! each start. Only our own files are touched, since a data directory may hold other files as well.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::private::{self, Mended};

/// The names of our files.
const NAMES: [&str; 5] = ["lock", "store", "initial-admin-password", "series", "series.new"];

/// The prefixes of further names.
const BEGINNINGS: [&str; 6] =
    ["store.", "limit-history.", "limit-override.", ".limit-override.", "limit-revision", "shibudb.log"];

/// May exist beside them in a directory that is ours alone: the root of a file system has it.
const LOST_AND_FOUND: &str = "lost+found";

/// Others may not list or change the directory. They may pass through it: a management socket may be in it.
const PASS_ONLY: u32 = 0o066;

/// Others could replace our files with their own.
const WRITABLE: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// Removes the access of others, and warns of failures.
pub(super) fn mend(data_dir: &Path) {
    let names: Vec<_> = fs::read_dir(data_dir).map(|entries| entries.flatten().collect()).unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|entry| is_ours(&entry.file_name()));
    let mended = ours.iter().map(|entry| private::mend(&entry.path())).fold(Mended::default(), Mended::and);
    if mended.closed > 0 {
        tracing::warn!(files = mended.closed, path = %data_dir.display(),
            "removed other users' access to {} files and directories in {}",
            mended.closed, data_dir.display());
    }
    if let Some((path, why)) = mended.open {
        tracing::warn!(path = %path.display(), files = mended.left_open, why,
            "other users can access {} ({} files in all), and the permissions cannot be changed: {why}; stop the \
             server, and chown all of {} to the user that it runs as",
            path.display(), mended.left_open, data_dir.display());
    }
    let is_strange = |entry: &DirEntry| {
        entry.file_name() != LOST_AND_FOUND && !entry.file_type().is_ok_and(|kind| kind.is_socket())
    };
    mend_directory(data_dir, others.iter().any(is_strange));
}

/// Restricts the directory itself if only we have files in it.
fn mend_directory(data_dir: &Path, is_shared: bool) {
    let Ok(mode) = fs::metadata(data_dir).map(|found| found.mode()) else { return };
    let why = if is_shared || mode & STICKY != 0 {
        "it also holds files of other users".to_owned()
    } else {
        // Through a link if it is one: the administrator has configured it.
        match private::take_away(&data_dir.join("."), PASS_ONLY) {
            Ok(_) => return,
            Err(error) => error.to_string(),
        }
    };
    if mode & WRITABLE != 0 {
        tracing::warn!(path = %data_dir.display(), why,
            "other users can write to the data directory {} and replace its files ({why}); use a directory for the \
             server alone",
            data_dir.display());
    }
}

/// Whether it is a name that we use in the data directory.
pub(super) fn is_ours(name: &OsStr) -> bool {
    let begins = |beginning: &&str| name.as_encoded_bytes().starts_with(beginning.as_bytes());
    NAMES.iter().any(|known| name == *known) || BEGINNINGS.iter().any(begins)
}
