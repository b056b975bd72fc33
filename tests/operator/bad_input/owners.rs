//! Data directories of other users.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{refused, shibudb, skipped};

/// The user `nobody`, which every system has.
const NOBODY: u32 = 65534;

/// A data directory of `nobody`, optionally with a file owned by root; `None` if this user cannot make one.
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

/// Whether the directory is empty.
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
            "Error: {shown} belongs to user nobody, whose server could not read files created there by root; run as \
             that user: sudo -u nobody shibudb run 0 100 --data-dir {shown}\n"
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
            "Error: {shown} belongs to user nobody, who must also own the imported files; run as that user: sudo -u \
             nobody shibudb import {} --data-dir {shown}\n",
            old.display()
        )
    );
    assert!(is_empty(&data));
}

#[test]
fn what_is_missing_belongs_to_whom_the_directory_above_does() {
    let Some((home, data)) = of_nobody(None) else { return };
    let old = home.path().join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("users.json"), "{}").unwrap();
    fs::write(old.join("metadata.json"), "{}").unwrap();
    let new = data.join("not/yet");
    let said = format!("Error: {} belongs to user nobody, ", data.display());
    for (status, arguments) in [(78, ["run", "0"]), (1, ["import", old.to_str().unwrap()])] {
        let mut command = shibudb(home.path(), arguments);
        let refused = refused(&command.arg("--data-dir").arg(&new).output().unwrap(), status);
        let command =
            format!("sudo -u nobody shibudb {} --data-dir {}\n", arguments.join(" "), new.display());
        assert!(refused.starts_with(&said) && refused.ends_with(&command), "{refused}");
    }
    assert!(is_empty(&data), "root has made nothing there");
}

#[test]
fn files_of_another_user_are_named_with_what_to_do() {
    for name in ["lock", "limit-override.json", "store.manifest"] {
        let Some((home, data)) = of_nobody(Some(name)) else { return };
        let said = refused(&run_as_nobody(home.path(), &data).output().unwrap(), 1);
        let advice = format!(
            "; {} belongs to user root, but this server runs as nobody: stop the server, and change the owner with \
             `chown -R nobody: {}`\n",
            data.join(name).display(),
            data.display()
        );
        assert!(said.ends_with(&advice) && said.contains("Permission denied"), "{said}");
        assert_eq!(fs::metadata(data.join(name)).unwrap().uid(), 0);
    }
}

/// The program where every user may run it. A separate process copies it: a child that another test starts while this
/// process has the file open for writing would prevent its execution.
pub(super) fn program_in(home: &Path) -> PathBuf {
    let program = home.join("shibudb");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_shibudb")).arg(&program).status().unwrap();
    assert!(copied.success());
    program
}

/// A server run by `nobody`, with the data directory.
fn run_as_nobody(home: &Path, data: &Path) -> Command {
    let mut run = Command::new(program_in(home));
    std::os::unix::process::CommandExt::uid(&mut run, NOBODY);
    run.args(["run", "0", "--data-dir"]).arg(data).env_clear().current_dir("/");
    run
}

#[test]
fn an_owner_is_blamed_only_for_what_a_missing_right_has_done() {
    // Extra files in the root of a file system do no harm, and damage to a store is reported as such.
    let Some((home, data)) = of_nobody(None) else { return };
    for name in ["lost+found", "shibudb.log.1"] {
        fs::create_dir(data.join(name)).unwrap();
        fs::set_permissions(data.join(name), Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(data.join("store.manifest"), "damaged").unwrap();
    chown(data.join("store.manifest"), Some(NOBODY), Some(NOBODY)).unwrap();
    let said = refused(&run_as_nobody(home.path(), &data).output().unwrap(), 65);
    assert!(said.contains("store.manifest is damaged") && !said.contains("chown"), "{said}");
    // A permission is missing, but not on the server's own files.
    fs::remove_dir(data.join("shibudb.log.1")).unwrap();
    fs::remove_file(data.join("store.manifest")).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o500)).unwrap();
    let said = refused(&run_as_nobody(home.path(), &data).output().unwrap(), 1);
    assert!(said.contains("Permission denied") && !said.contains("chown"), "{said}");
}

/// A machine with its own network and `/run`, where root is root and other users exist.
const MACHINE: [&str; 7] = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"];

#[test]
fn root_starts_a_server_for_the_owner_without_its_secrets_and_whatever_others_have_planted() {
    let Some((home, data)) = of_nobody(None) else { return };
    let program = program_in(home.path());
    let machine = || {
        let mut machine = Command::new("unshare");
        machine.args(MACHINE).arg("-ec").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        machine
    };
    if !machine().arg("mount -t tmpfs tmpfs /run").status().is_ok_and(|status| status.success()) {
        return skipped("needs the right to mount");
    }
    let script = r#"mount -t tmpfs tmpfs /run
        ip link set lo up
        mkdir -p -m 755 /run/shibudb/users/4000123
        ln -s /dev/null /run/shibudb/users/4000123/9090.pid
        chown -Rh 4000123 /run/shibudb/users/4000123
        "$1" start 9090 --data-dir "$2"
        tr '\0' '\n' <"/proc/$(cat /run/shibudb/users/65534/9090.pid)/environ"
        ! "$1" start 9090 --data-dir "$2" 2>&1
        "$1" stop 9090"#;
    let output = machine()
        .args([script, "sh"])
        .args([&program, &data])
        .env("ROOTS_SECRET", "precious")
        .env("RUNTIME_DIRECTORY", "/run/of-the-caller")
        .env("LC_TIME", "C")
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.contains("LC_TIME=C\n") && said.contains("USER=nobody\n"), "{said}");
    assert!(!said.contains("precious") && !said.contains("of-the-caller"), "{said}");
    assert!(
        said.contains("shibudb is already running on port 9090") && said.ends_with("Stopped\n"),
        "{said}"
    );
}
