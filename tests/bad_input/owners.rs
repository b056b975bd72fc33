//! Data directories of other users.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{refused, shibudb, skipped};

/// A user that every system has and nobody is.
const NOBODY: u32 = 65534;

/// A data directory of `nobody`, with a file of root's in it if so wished; `None` for whoever cannot make one.
fn of_nobody(with_file_of_root: Option<&str>) -> Option<(TempDir, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        skipped("needs root");
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    if let Some(name) = with_file_of_root {
        fs::write(data.join(name), "").unwrap();
        fs::set_permissions(data.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    Some((home, data))
}

/// Nothing was left there.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn root_is_told_what_to_type() {
    let Some((home, data)) = of_nobody(None) else { return };
    let shown = data.display();
    let mut run = shibudb(home.path(), ["run", "0", "100", "--data-dir"]);
    assert_eq!(
        refused(&run.arg(&data).output().unwrap(), 78),
        format!(
            "Error: {shown} belongs to the user nobody, whose server could not read what root leaves there; run this \
             as that user: sudo -u nobody shibudb run 0 100 --data-dir {shown}\n"
        )
    );
    let old = home.path().join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("users.json"), "{}").unwrap();
    fs::write(old.join("metadata.json"), "{}").unwrap();
    let mut import = shibudb(home.path(), ["import"]);
    assert_eq!(
        refused(&import.arg(&old).arg("--data-dir").arg(&data).output().unwrap(), 1),
        format!(
            "Error: {shown} belongs to the user nobody, and so must what is written there; run this as that user: \
             sudo -u nobody shibudb import {} --data-dir {shown}\n",
            old.display()
        )
    );
    assert!(is_empty(&data));
}

#[test]
fn files_of_another_user_are_named_with_what_to_do() {
    for name in ["lock", "limit-override.json", "store.manifest"] {
        let Some((home, data)) = of_nobody(Some(name)) else { return };
        let program = home.path().join("shibudb");
        fs::copy(env!("CARGO_BIN_EXE_shibudb"), &program).unwrap();
        let mut run = Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut run, NOBODY);
        run.args(["run", "0", "--data-dir"]).arg(&data).env_clear().current_dir("/");
        let said = refused(&run.output().unwrap(), 1);
        let advice = format!(
            "; {} belongs to the user root, and this server runs as nobody: stop the server, and give it the \
             directory with `chown -R nobody: {}`\n",
            data.join(name).display(),
            data.display()
        );
        assert!(said.ends_with(&advice) && said.contains("Permission denied"), "{said}");
        assert_eq!(fs::metadata(data.join(name)).unwrap().uid(), 0);
    }
}
