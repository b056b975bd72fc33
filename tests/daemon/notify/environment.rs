//! Invalid variables that a supervisor or a shell may have left in the environment.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::ears::Ears;
use crate::harness::{PASSWORD, Setup, refused, shibudb};

/// Runs a server that must not start, with these variables, and returns its error. `$$` is its process id.
#[track_caller]
fn refused_with(variables: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec env {variables} \"$@\""), "sh", env!("CARGO_BIN_EXE_shibudb")]);
    command.args(["run", "0", "--data-dir"]).arg(home.path().join("data"));
    refused(&command.stdin(Stdio::null()).output().unwrap(), 78)
}

#[test]
fn descriptors_that_were_not_handed_over_are_missed_in_words() {
    let said = refused_with("LISTEN_PID=$$ LISTEN_FDS=4");
    assert!(
        said.starts_with(
            "Error: LISTEN_FDS=4 says that the descriptors 3 to 6 were handed over, but 3 is not"
        ),
        "{said}"
    );
    let said = refused_with("LISTEN_PID=$$ LISTEN_FDS=1000000000");
    assert!(said.contains("but 3 is not open"), "{said}");
}

#[test]
fn variables_that_make_no_sense_are_named() {
    for (variables, words) in [
        ("LISTEN_PID=$$ LISTEN_FDS=some", "LISTEN_FDS is \"some\""),
        ("LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS is \"-1\""),
        ("LISTEN_PID=me LISTEN_FDS=1", "LISTEN_PID is \"me\""),
        ("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a", "LISTEN_FDNAMES names 1 descriptors"),
    ] {
        let said = refused_with(variables);
        assert!(said.starts_with(&format!("Error: {words}")), "{said}");
    }
}

#[test]
fn what_was_handed_to_another_process_is_left_alone() {
    let setup = Setup::new().env("LISTEN_PID", "1").env("LISTEN_FDS", "4");
    assert!(setup.start().stop().success());
}

#[test]
fn a_watchdog_without_a_time_is_off() {
    for value in ["0", "often", "18446744073709551615"] {
        let ears = Ears::new();
        let mut server = ears.of(Setup::new()).env("WATCHDOG_USEC", value).start();
        server.wait_for_log(&format!("WATCHDOG_USEC is \"{value}\", so the watchdog is off"));
        assert_eq!(server.get("/health").status, 200);
        assert!(server.stop().success());
    }
    let ears = Ears::new();
    let server = ears.of(Setup::new()).env("WATCHDOG_USEC", "1").start();
    ears.hear("READY=1", |message| message.has("READY"));
    assert_eq!(server.get("/health").status, 200);
}

/// A server in the directory `home`, with this credential as the administrator's first password.
fn with_credential(home: &std::path::Path, credential: &[u8]) -> Command {
    fs::write(home.join("shibudb.admin-password"), credential).unwrap();
    let mut command = shibudb(home, ["run", "0", "--data-dir"]);
    command.arg(home.join("data")).env("CREDENTIALS_DIRECTORY", home);
    command
}

#[test]
fn a_first_password_that_cannot_be_one_ends_the_start_in_words() {
    let long = "x".repeat(5000);
    for (credential, words) in [
        (&b""[..], "is empty"),
        (b"\r\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (long.as_bytes(), "the password must not exceed 1024 bytes"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let said = refused(&with_credential(home.path(), credential).output().unwrap(), 78);
        assert!(
            said.starts_with("Error: the credential shibudb.admin-password (") && said.contains(words),
            "{said}"
        );
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = shibudb(home.path(), ["run", "0", "--data-dir"]);
    command.arg(home.path().join("data")).env("SHIBUDB_ADMIN_PASSWORD", OsStr::from_bytes(b"\xff"));
    let said = refused(&command.output().unwrap(), 78);
    assert!(
        said.starts_with("Error: the password in SHIBUDB_ADMIN_PASSWORD cannot be used: it is not UTF-8"),
        "{said}"
    );
}

#[test]
fn a_first_password_that_is_not_needed_any_more_does_not_end_a_start() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("shibudb.admin-password"), PASSWORD).unwrap();
    let setup = Setup::new().env("CREDENTIALS_DIRECTORY", home.path().to_str().unwrap());
    let mut server = setup.start();
    assert!(server.stop().success());
    fs::write(home.path().join("shibudb.admin-password"), "").unwrap();
    server.start_again();
    server.wait_for_log("it is not needed because accounts already exist");
}

#[test]
fn the_credential_takes_precedence_and_the_log_warns_of_the_variable() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("shibudb.admin-password"), "of the credential\n").unwrap();
    let setup = Setup::new().env("CREDENTIALS_DIRECTORY", home.path().to_str().unwrap());
    let mut server = setup.clone().start();
    let warning = server.wait_for_log("using the password of ");
    assert!(
        warning.contains("WARN")
            && warning.contains("the credential shibudb.admin-password (")
            && warning.ends_with("; the environment variable SHIBUDB_ADMIN_PASSWORD is ignored"),
        "{warning}"
    );
    server.login("admin", "of the credential");
    let denied = server.connect().ask(&json!({"username": "admin", "password": PASSWORD}));
    assert_eq!(denied["status"], "ERROR", "{denied}");
    assert!(server.stop().success());

    // A later start uses neither, and an empty variable counts as unset.
    server.start_again();
    assert!(server.stop().success());
    assert!(!server.log().contains("is ignored"), "{}", server.log());
    let mut server = setup.env("SHIBUDB_ADMIN_PASSWORD", "").start();
    assert!(server.stop().success());
    assert!(!server.log().contains("is ignored"), "{}", server.log());
}
