//! `shibudb check`: its reports about a file, and about what it could not read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{refused, shibudb};

#[test]
fn the_file_is_named_with_or_without_an_option() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("good.toml");
    fs::write(&file, "port = 9090\n").unwrap();
    let file = file.to_str().unwrap();
    for words in [&["check", file][..], &["check", "--config", file]] {
        let output = shibudb(home.path(), words.iter().copied()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{file}: no problems\n"));
    }
    refused(&shibudb(home.path(), ["check", file, "--config", file]).output().unwrap(), 2);
}

/// Runs `check` as a user who may not read everything.
fn check_as_nobody(home: &Path, file: &Path) -> Output {
    let program = home.join("shibudb");
    // Not copied by this process: a child that another test starts meanwhile would keep it open for writing.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_shibudb")).arg(&program).status().unwrap().success());
    let mut command = Command::new(program);
    command.arg("check").arg(file).env_clear().current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

#[test]
fn what_could_not_be_checked_is_not_without_problems() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let (file, token) = (home.path().join("shibudb.toml"), home.path().join("token"));
    fs::write(&token, "secret\n").unwrap();
    fs::write(&file, format!("[management]\ntoken_file = {token:?}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o000)).unwrap();
    let (file_name, token_name) = (file.display(), token.display());
    let how =
        format!("check it as the user that the server runs as: sudo -u USER shibudb check {file_name}\n");
    assert_eq!(
        refused(&check_as_nobody(home.path(), &file), 1),
        format!(
            "Error: {file_name}: no problems in the file itself, but some checks could not run: token file \
             {token_name} cannot be read: Permission denied (os error 13); {how}"
        )
    );
    // A problem is reported nevertheless.
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&check_as_nobody(home.path(), &file), 78).contains("is accessible to every user"));
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    assert_eq!(
        refused(&check_as_nobody(home.path(), &file), 1),
        format!("Error: not checked: {file_name}: cannot be read: Permission denied (os error 13); {how}")
    );
}
