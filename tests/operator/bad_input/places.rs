//! Unusable data directories and config files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::owners::program_in;
use crate::harness::sandbox::enter;
use crate::harness::{Setup, refused, shibudb};

#[test]
fn a_data_directory_below_a_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("data");
    let mut command = shibudb(home.path(), ["run", "0", "--data-dir"]);
    assert_eq!(
        refused(&command.arg(&below).output().unwrap(), 1),
        format!("Error: cannot create {}: Not a directory (os error 20)\n", below.display())
    );
}

#[test]
fn a_data_directory_on_a_disk_that_is_read_only() {
    enter(|sandbox| {
        sandbox.run("mkdir /run/data && mount -t tmpfs -o ro tmpfs /run/data");
        assert_eq!(
            sandbox.fails("shibudb run 9090 --data-dir /run/data", 1),
            "Error: data directory /run/data is not usable: Read-only file system (os error 30)\n"
        );
        assert_eq!(
            sandbox.fails("shibudb run 9090 --data-dir /run/data/new", 1),
            "Error: cannot create /run/data/new: Read-only file system (os error 30)\n"
        );
        assert_eq!(
            sandbox.fails("shibudb start 9090 --data-dir /run/data", 1),
            "Error: cannot write /run/data/shibudb.log: Read-only file system (os error 30)\n"
        );
    });
}

/// Permissions do not restrict root, so root runs this as another user.
#[test]
fn a_data_directory_without_permission_to_write() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o555)).unwrap();
    let program = program_in(home.path());
    let run = |data: &Path| {
        let mut command = Command::new(&program);
        command.args(["run", "0", "--data-dir"]).arg(data).env_clear().current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        refused(&command.output().unwrap(), 1)
    };
    let not_usable =
        format!("Error: data directory {} is not usable: Permission denied (os error 13)", data.display());
    // The owner, if it is another user than the test's.
    let said = run(&data);
    let whose = format!("; {} belongs to user root, but this server runs as nobody: ", data.display());
    let rest = said.strip_prefix(&not_usable).unwrap();
    assert!(rest == "\n" || rest.starts_with(&whose), "{said}");
    let new = data.join("new");
    assert_eq!(
        run(&new),
        format!("Error: cannot create {}: Permission denied (os error 13)\n", new.display())
    );
}

#[test]
fn a_data_directory_that_a_running_server_has() {
    let server = Setup::new().start();
    let home = tempfile::tempdir().unwrap();
    let mut command = shibudb(home.path(), ["run", "0", "--data-dir"]);
    assert_eq!(
        refused(&command.arg(server.data_dir()).output().unwrap(), 1),
        format!(
            "Error: data directory {} is in use by another process, such as a server on another port; stop it, or \
             use another directory with --data-dir\n",
            server.data_dir().display()
        )
    );
    server.admin();
}

#[test]
fn a_config_file_that_is_wrong_or_missing() {
    enter(|sandbox| {
        fs::write(sandbox.home().join("bad.toml"), "port = 9090\nmax_conections = 5\n").unwrap();
        let bad = sandbox.home().join("bad.toml");
        let wrong = format!(
            "Error: {}:2:1: unknown key \"max_conections\"; did you mean \"max_connections\"?\n",
            bad.display()
        );
        for command in ["run", "start 9090", "check"] {
            assert_eq!(
                sandbox.fails(&format!("shibudb {command} --config $HOME/bad.toml"), 78),
                wrong,
                "{command}"
            );
        }
        let missing = format!(
            "Error: {}: cannot be read: No such file or directory (os error 2)\n",
            sandbox.home().join("none.toml").display()
        );
        for command in ["run", "start 9090", "check"] {
            assert_eq!(
                sandbox.fails(&format!("shibudb {command} --config $HOME/none.toml"), 78),
                missing,
                "{command}"
            );
        }
    });
}
