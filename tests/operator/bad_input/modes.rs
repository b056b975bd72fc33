//! No other user can access the stored data, whatever the caller's umask is, whatever existed before, and even if
//! another user has put a link in place of a file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Log, Setup, refused, shibudb};

/// All files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        }
        all.push(path);
    }
    all
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// The same command with a time limit, in case the server starts after all.
fn soon(command: Command) -> Command {
    let mut timeout = Command::new("/usr/bin/timeout");
    timeout.arg("30").arg(command.get_program()).args(command.get_args()).env_clear();
    timeout.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    timeout
}

#[track_caller]
fn expect_private(data_dir: &Path) {
    let files = files(data_dir);
    assert!(
        files.iter().any(|file| file.extension().is_some_and(|extension| extension == "jnl")),
        "{files:?}"
    );
    for file in files {
        assert_eq!(mode(&file) & 0o077, 0, "{} is open to others: {:o}", file.display(), mode(&file));
    }
}

#[test]
fn what_is_made_is_private_whatever_the_umask() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    // The directory existed before, and is open to all.
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    let socket = home.path().join("management.sock");
    let config = home.path().join("shibudb.toml");
    fs::write(&config, format!("[management]\nsocket = \"{}\"\nsocket_mode = \"0666\"\n", socket.display()))
        .unwrap();
    let inner = shibudb(home.path(), ["run", "0"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    command.arg("--config").arg(&config).arg("--data-dir").arg(&data).env_clear();
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    Log::of(server.stderr.take().unwrap()).wait_for("created the account admin");
    expect_private(&data);
    assert_eq!(mode(&data), 0o711, "others may pass, to a socket in it, and neither list nor write");
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(mode(&socket), 0o666, "as configured");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn what_was_open_before_is_closed_at_the_start_and_nothing_of_others() {
    let mut server = Setup::new().start();
    server.set_limit(2000);
    server.kill();
    let data = server.data_dir();
    let strange = data.join("strange");
    fs::write(&strange, "text").unwrap();
    for file in files(&data) {
        let open = if file.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&file, Permissions::from_mode(open)).unwrap();
    }
    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    server.start_again();
    server.wait_for_log("removed other users' access to ");
    server.wait_for_log("other users can write to the data directory");
    assert_eq!((mode(&strange), mode(&data)), (0o644, 0o777), "it is not only ours");
    fs::remove_file(&strange).unwrap();
    expect_private(&data);
    server.kill();
    server.start_again();
    assert_eq!(mode(&data), 0o711);
    assert_eq!(server.limit(), 2000);
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    for name in ["limit-history.jsonl", "limit-override.json", ".limit-override.spare", "limit-revision"] {
        let mut server = Setup::new().start();
        server.set_limit(2000);
        server.kill();
        let (file, target) = (server.data_dir().join(name), server.data_dir().join("target"));
        fs::remove_file(&file).ok();
        fs::write(&target, "").unwrap();
        symlink(&target, &file).unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut command = shibudb(home.path(), ["run", "0", "--data-dir"]);
        command.arg(server.data_dir()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        // It may refuse to start, or continue without the file, but never writes through the link.
        let started = std::panic::catch_unwind(|| log.wait_for("ready: ")).is_ok();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(started || log.text().contains("symbolic link"), "{name}: {}", log.text());
        assert_eq!(fs::read(&target).unwrap(), b"", "{name}");
    }
}

#[test]
fn a_link_in_the_place_of_the_lock_or_the_log_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (data, target) = (home.path().join("data"), home.path().join("target"));
    fs::create_dir(&data).unwrap();
    for (name, words) in [("lock", "run 0"), ("shibudb.log", "start 9090")] {
        let link = data.join(name);
        symlink(&target, &link).unwrap();
        let mut command = soon(shibudb(home.path(), words.split(' ')));
        let said = refused(&command.arg("--data-dir").arg(&data).output().unwrap(), 1);
        assert!(
            said.contains(&format!(
                "{} is a symbolic link, which is not followed; remove it",
                link.display()
            )),
            "{said}"
        );
        assert!(!target.exists());
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn a_second_server_stays_out_though_the_lock_files_are_replaced() {
    let server = Setup::new().start();
    let data = server.data_dir();
    for lock in [data.join("lock"), data.join("store").join("lock")] {
        fs::remove_file(&lock).ok();
        fs::write(&lock, "").unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = soon(shibudb(home.path(), ["run", "0", "--data-dir"]));
    assert_eq!(
        refused(&command.arg(&data).output().unwrap(), 1),
        format!(
            "Error: data directory {} is in use by another process, such as a server on another port; stop it, or \
             use another directory with --data-dir\n",
            data.display()
        )
    );
    server.admin();
}
